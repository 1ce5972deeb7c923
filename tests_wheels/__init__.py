"""The three distributions: each is built, installed from its wheel into a virtual environment, and used."""
