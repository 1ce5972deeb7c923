"""The tests of Blotter: docs/testing.md describes the suites."""
