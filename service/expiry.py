"""Cancels the orders that are past their expiry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from uuid import uuid4

from service.domain.errors import BlotterError, DatabaseUnavailable
from service.domain.identity import Caller, CallerKind
from service.repositories.orders import Orders

log = logging.getLogger("blotter.expiry")


class Expiry:
    """Looks several times a second, in every process; the lock on the trader's counter makes each order expire once.

    As the one thing that always talks to the database, it also tells whether the database answers.
    """

    def __init__(self, orders: Orders, poll_seconds: float, database_answers: Callable[[bool], None]) -> None:
        self._orders = orders
        self._poll_seconds = poll_seconds
        self._database_answers = database_answers

    async def run(self) -> None:
        """Look and cancel, until cancelled itself. A database that is away delays, never loses."""
        while True:
            try:
                await self.expire_due()
            except Exception as error:  # noqa: BLE001  # whatever it is, orders must not stay open for ever
                log.warning("Expired orders cannot be cancelled: %s", error)
                self._database_answers(False)
            else:
                self._database_answers(True)
            await asyncio.sleep(self._poll_seconds)

    async def expire_due(self) -> None:
        """Cancel what is due now, one transaction a trader."""
        caller = Caller(CallerKind.EXECUTION, None, actor="blotter", request_id=f"expiry-{uuid4()}")
        for trader_id in await self._orders.traders_with_expired_orders(caller):
            try:
                expired = await self._orders.expire(caller, trader_id)
            except DatabaseUnavailable:
                raise
            except BlotterError as error:
                # His counter may be locked: the others need not wait for it, and his turn comes again.
                log.info("Expired orders are left for the next look: %s", error, extra={"trader_id": str(trader_id)})
                continue
            if expired:
                log.info("%d orders expired", len(expired), extra={"trader_id": str(trader_id)})
