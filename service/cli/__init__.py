"""The commands of `blotter`."""
