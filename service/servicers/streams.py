"""Following one trader's events: what WatchOrders and StreamExecutionLogs have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import UUID

from blotter.orders.v1 import watch_pb2
from service.domain.errors import InvalidResumeToken, ResumeTokenOutOfRange
from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.feed import Feed
from service.repositories.audit import Audit, Events
from service.servicers import tokens
from service.servicers.conversion import timestamp

EVENTS_A_MESSAGE = 500


async def resume_after(audit: Audit, caller: Caller, trader_id: UUID, binding: tuple[object, ...], token: str) -> int:
    """Return the sequence after which a token goes on. Raises InvalidResumeToken, ResumeTokenOutOfRange."""
    try:
        after = tokens.decode(binding, token, tokens.sequence)
    except tokens.BadToken as error:
        raise InvalidResumeToken from error
    first, last = await audit.bounds(caller, trader_id)
    if not first - 1 <= after <= last:
        raise ResumeTokenOutOfRange(first_sequence=str(first), last_sequence=str(last))
    return after


async def follow(
    audit: Audit,
    feed: Feed,
    caller: Caller,
    trader_id: UUID,
    filter_: EventFilter,
    *,
    after: int,
    heartbeat_seconds: float,
    live: bool = True,
) -> AsyncGenerator[Events, None]:
    """Yield the trader's events after a sequence, in order, each once. Events without logs are a heartbeat.

    With `live` it goes on until cancelled; without, it ends at the present with a heartbeat. Raises Draining.
    """
    clock = asyncio.get_running_loop().time
    spoke = clock()
    with feed.subscribe(trader_id) as subscription:
        while True:
            subscription.about_to_look()
            looked = clock()
            events = await audit.events(caller, trader_id, filter_, after, EVENTS_A_MESSAGE)
            after = subscription.seen = events.last_sequence
            if events.logs:
                yield events
                spoke = clock()
                if len(events.logs) == EVENTS_A_MESSAGE:
                    continue
            if not live:
                yield Events([], after)
                return
            if not await subscription.wait(spoke + heartbeat_seconds - clock()):
                yield Events([], after)
                spoke = clock()
            # A trader who writes without a pause must not make each of his watchers read for each event.
            await asyncio.sleep(max(0, looked + feed.pause(trader_id) - clock()))


def heartbeat(last_sequence: int, last_event_sequence: int) -> watch_pb2.Heartbeat:
    """Return a heartbeat of now."""
    return watch_pb2.Heartbeat(
        last_sequence=last_sequence,
        last_event_sequence=last_event_sequence,
        server_time=timestamp(datetime.now(UTC)),
    )
