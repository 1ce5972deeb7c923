"""Plays an order flow against a running service, and compares its responses and records with an independent book."""
