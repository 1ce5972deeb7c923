"""Playing an order flow against a running service, and checking all that it then says against an independent book."""
