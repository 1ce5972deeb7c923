"""A real Prometheus scrapes the service and raises our alerts: make test-prometheus."""
