"""How calls reach the database."""
