"""Enters and cancels an order over TLS with a bearer token or a client certificate, and prints its events.

python call.py TARGET CA-FILE TOKEN-FILE
python call.py TARGET CA-FILE CERTIFICATE-FILE KEY-FILE
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from blotter_client import Action, Client, OrderType, Side


def connected(target: str, ca: Path, shown: list[Path]) -> Client:
    """Return a client that shows the token, which is read again before each call, or the certificate with its key."""
    authorities = ca.read_bytes()
    if len(shown) == 1:
        return Client(target, root_certificates=authorities, token=lambda: shown[0].read_text("utf-8").strip())
    certificate, key = (file.read_bytes() for file in shown)
    return Client(target, root_certificates=authorities, certificate_chain=certificate, private_key=key)


def main(target: str, ca: Path, shown: list[Path]) -> None:
    """Watch the orders of the trader that the token or the certificate proves, while one is entered and cancelled."""
    with connected(target, ca, shown) as client, client.watch_orders() as watch:
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
    main(sys.argv[1], Path(sys.argv[2]), [Path(file) for file in sys.argv[3:5]])
