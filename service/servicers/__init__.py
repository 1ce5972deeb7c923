"""The servicers. Each method checks the caller's kind, validates the request, calls the repository and converts."""
