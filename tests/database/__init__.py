"""Calls on their way to the database."""
