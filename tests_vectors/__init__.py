"""Tests with published test vectors: `make test-vectors VECTORS=<folder>`. `make test` does not require them."""
