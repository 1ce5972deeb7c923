"""Mutants: small faults, kept as data, that the tests must notice. `make mutants` runs them; see docs/testing.md."""
