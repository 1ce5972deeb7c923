"""The asyncio client. The synchronous `audit.py`, `client.py` and `orders.py` are generated from the modules here."""
