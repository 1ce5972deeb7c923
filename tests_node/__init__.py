"""The Node example against a real server: make test-node."""
