"""What operators see of a running server: metrics, traces, and where they are sent."""
