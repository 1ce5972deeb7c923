"""TLS between the service and PostgreSQL: make test-tls."""
