"""The example for Node against a real server: make test-node."""
