"""Watches a trader's orders, submits and cancels one, resumes the watch from a token, and reads an error; with asyncio.

python watch_and_submit_async.py [TARGET [TRADER_ID]]
"""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal

from blotter_client import Action, AsyncClient, BlotterError, OrderEvent, OrderStatus, OrderType, Side

ADA = "11111111-0000-4000-8000-000000000000"


def show(event: OrderEvent) -> None:
    """Print an event and the order's status after it."""
    print(event.sequence, Action(event.action).name, OrderStatus(event.order.status).name, event.order.order_id)


async def watch_and_submit(client: AsyncClient) -> tuple[str, str]:
    """Submit an order and watch until its first event; return its id and the token to resume from."""
    async with client.watch_orders() as watch:
        # The stream starts with a snapshot in several messages. Store a message's token together with the effects of
        # the message, so that the two agree after a crash.
        async for message in watch:
            if message.HasField("snapshot_complete"):
                print(f"snapshot of {message.snapshot_complete.order_count} orders")
                break
        # Pass a client_order_id to be able to repeat the call after a timeout. Here the client generates one.
        order = (await client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33"))).order
        async for message in watch:
            for event in message.events.events:
                show(event)
            if order.order_id in {event.order.order_id for event in message.events.events}:
                break
        return order.order_id, watch.resume_token


async def resume(client: AsyncClient, order_id: str, resume_token: str) -> None:
    """Resume the watch from the token, without a snapshot, until the order is cancelled."""
    async with client.watch_orders(resume_token=resume_token) as watch:
        async for message in watch:
            for event in message.events.events:
                show(event)
                if event.order.order_id == order_id and Action(event.action) is Action.CANCELLED:
                    return


async def submit_an_invalid_order(client: AsyncClient) -> None:
    """Print the details of an error."""
    try:
        await client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 0)
    except BlotterError as error:
        print(error.code.name, error.reason, "request", error.request_id)
        for field, description in error.fields.items():
            print(f"  {field}: {description}")
        if error.retry_after is not None:
            print(f"  retry after {error.retry_after}")


async def main(target: str = "127.0.0.1:50051", trader_id: str = ADA) -> None:
    """Run the example."""
    async with AsyncClient(target, trader_id=trader_id, actor="example") as client:
        order_id, resume_token = await watch_and_submit(client)
        await client.cancel_order(order_id, reason="end of the example")
        await resume(client, order_id, resume_token)
        await submit_an_invalid_order(client)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
