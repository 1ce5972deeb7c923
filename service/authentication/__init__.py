"""Verifies who calls: tokens of an issuer, client certificates, and the principals that they name."""
