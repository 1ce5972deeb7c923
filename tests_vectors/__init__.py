"""The vectors that others published: `make test-vectors VECTORS=<folder>`. The project's own tests do without them."""
