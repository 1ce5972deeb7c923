"""Sends a trader's orders to a venue, which is simulated here, and reports what the venue answers.

python gateway.py [TARGET [TRADER_ID]]

The program is also the trader, who enters an order, replaces it after a fill, and cancels it.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from uuid import UUID, uuid5

from blotter_client import (
    Action,
    Client,
    Order,
    OrderEvent,
    OrderStatus,
    OrderType,
    RequestKind,
    Side,
    cancelled,
    executed,
    filled,
    moment_of,
    replaced,
)

ADA = "11111111-0000-4000-8000-000000000000"
OPEN = (OrderStatus.PENDING, OrderStatus.PARTIAL)


class Venue:
    """Stands for the session with a venue."""

    def __init__(self) -> None:
        self._orders: set[str] = set()

    def send(self, order: Order) -> None:
        """Send a new order (35=D)."""
        self._orders.add(order.order_id)

    def knows(self, order: Order) -> bool:
        """Ask for the status of an order (35=H)."""
        return order.order_id in self._orders


class Gateway:
    """Handles the events of all traders' orders. Handling one again is safe: it makes the same reports."""

    def __init__(self, client: Client, venue: Venue) -> None:
        self._client = client
        self._venue = venue

    def handle(self, event: OrderEvent) -> None:
        """Send what the order needs to the venue, and report the answer.

        The order decides, not the action: the first event after a snapshot may be any event of an order.
        """
        order = event.order
        ids = (order.trader_id, order.order_id)
        if OrderStatus(order.status) in OPEN and not order.at_venue:
            # Before the order is sent: a cancel that comes before this report takes effect without the venue.
            report = executed(*ids, report_id=f"{order.order_id}-sent")
            answer = self._client.report_execution(report)
            # An order that was reported before may have been sent before: ask the venue.
            sent = answer.replayed and self._venue.knows(answer.order)
            if OrderStatus(answer.order.status) in OPEN and not sent:
                self._send(answer.order, event)
        elif order.HasField("pending_request"):
            # Here the venue accepts it. Else: cancel_refused or replace_refused, with the reason.
            accepted = cancelled if RequestKind(order.pending_request.kind) is RequestKind.CANCEL else replaced
            key = order.pending_request.request_key
            # The same for each event that shows this request; a key may be as long as a report_id.
            report_id = str(uuid5(UUID(order.order_id), key))
            self._client.report_execution(accepted(*ids, request_key=key, report_id=report_id))

    def _send(self, order: Order, event: OrderEvent) -> None:
        """Send the order. The venue fills 40 shares; a real one states its own id and time of the fill."""
        self._venue.send(order)
        fill = filled(
            order.trader_id,
            order.order_id,
            40,
            Decimal(order.price),
            execution_id=f"{order.order_id}-1",
            venue="EXAMPLE",
            event_time=moment_of(event.record_time),
            report_id=f"{order.order_id}-fill-1",
        )
        self._client.report_execution(fill)


def main(target: str = "127.0.0.1:50051", trader_id: str = ADA) -> None:
    """Run the example until the order is cancelled."""
    with (
        Client(target, role="execution", actor="example-gateway") as client,
        Client(target, trader_id=trader_id, actor="example-trader") as trader,
        client.watch_orders(trader_ids=[trader_id]) as watch,
    ):
        gateway = Gateway(client, Venue())
        for message in watch:
            if message.HasField("snapshot_complete"):
                break
        order_id = trader.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33")).order.order_id
        for message in watch:
            for event in message.events.events:
                if event.order.order_id != order_id:  # a gateway handles the orders of all traders; the example its own
                    continue
                order = event.order
                print(Action(event.action).name, OrderStatus(order.status).name, order.filled_quantity, order.quantity)
                gateway.handle(event)
                match Action(event.action):
                    case Action.FILLED:
                        trader.replace_order(order_id, quantity=150)
                    case Action.REPLACED:
                        trader.cancel_order(order_id)
                    case Action.CANCELLED:
                        return


if __name__ == "__main__":
    main(*sys.argv[1:])
