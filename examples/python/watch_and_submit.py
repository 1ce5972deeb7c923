"""Watches a trader's orders, submits and cancels one, resumes the watch from a token, and reads an error.

python watch_and_submit.py [TARGET [TRADER_ID]]
"""

from __future__ import annotations

import sys
from decimal import Decimal

from blotter_client import Action, BlotterError, Client, OrderEvent, OrderStatus, OrderType, Side

ADA = "11111111-0000-4000-8000-000000000000"


def show(event: OrderEvent) -> None:
    """Print an event and the order's status after it."""
    print(event.sequence, Action(event.action).name, OrderStatus(event.order.status).name, event.order.order_id)


def watch_and_submit(client: Client) -> tuple[str, str]:
    """Submit an order and watch until its first event; return its id and the token to resume from."""
    with client.watch_orders() as watch:
        # The stream starts with a snapshot in several messages. Store a message's token together with the effects of
        # the message, so that the two agree after a crash.
        for message in watch:
            if message.HasField("snapshot_complete"):
                print(f"snapshot of {message.snapshot_complete.order_count} orders")
                break
        # Pass a client_order_id to be able to repeat the call after a timeout. Here the client generates one.
        order = client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33")).order
        for message in watch:
            for event in message.events.events:
                show(event)
            if order.order_id in {event.order.order_id for event in message.events.events}:
                break
        return order.order_id, watch.resume_token


def resume(client: Client, order_id: str, resume_token: str) -> None:
    """Resume the watch from the token, without a snapshot, until the order is cancelled."""
    with client.watch_orders(resume_token=resume_token) as watch:
        for message in watch:
            for event in message.events.events:
                show(event)
                if event.order.order_id == order_id and Action(event.action) is Action.CANCELLED:
                    return


def submit_an_invalid_order(client: Client) -> None:
    """Print the details of an error."""
    try:
        client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 0)
    except BlotterError as error:
        print(error.code.name, error.reason, "request", error.request_id)
        for field, description in error.fields.items():
            print(f"  {field}: {description}")
        if error.retry_after is not None:
            print(f"  retry after {error.retry_after}")


def main(target: str = "127.0.0.1:50051", trader_id: str = ADA) -> None:
    """Run the example."""
    with Client(target, trader_id=trader_id, actor="example") as client:
        order_id, resume_token = watch_and_submit(client)
        client.cancel_order(order_id, reason="end of the example")
        resume(client, order_id, resume_token)
        submit_an_invalid_order(client)


if __name__ == "__main__":
    main(*sys.argv[1:])
