"""Enters and cancels an order over TLS with a bearer token, and prints its events.

python call.py TARGET CA-FILE TOKEN-FILE
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from blotter_client import Action, Client, OrderType, Side


def main(target: str, ca: Path, token: Path) -> None:
    """Watch the orders of the token's trader while one is entered and cancelled."""
    with (
        Client(target, root_certificates=ca.read_bytes(), token=lambda: token.read_text("utf-8").strip()) as client,
        client.watch_orders() as watch,
    ):
        next(message for message in watch if message.HasField("snapshot_complete"))
        key = f"call-{uuid4()}"
        client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33"), client_order_id=key)
        client.cancel_order(client_order_id=key)
        for message in watch:
            for event in message.events.events:
                if event.order.client_order_id == key:
                    print(event.sequence, Action(event.action).name, event.order.symbol)
                    if Action(event.action) is Action.CANCELLED:
                        return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
