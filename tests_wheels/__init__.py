"""The three distributions, each built, installed from its wheel into an environment of its own, and used."""
