"""The pages that a stranger follows, as they stand."""
