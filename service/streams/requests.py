"""What a stream follows, and its tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from service.domain.errors import InvalidResumeToken, ResumeTokenOutOfRange
from service.domain.filters import EventFilter
from service.domain.identity import Caller
from service.repositories.events import Events
from service.streams import tokens
from service.streams.messages import StreamMethod
from service.streams.reading import patiently

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The events that a caller follows. A token is bound to the method."""

    method: StreamMethod
    caller: Caller
    filter: EventFilter
    heartbeat_seconds: float
    live: bool = True
    binding: tokens.Binding = field(init=False)

    def __post_init__(self) -> None:
        of = self.trader_id or self.caller.desk_id or self.caller.kind
        object.__setattr__(self, "binding", tokens.Binding(self.method.name, of, self.filter))

    @property
    def trader_id(self) -> UUID | None:
        """The trader whose events are followed; None for callers that see several traders."""
        return self.caller.trader_id

    def token(self, cursor: int) -> str:
        """Return the token that resumes after a cursor."""
        return self.binding.encode(cursor)

    async def resume_after(self, events: Events, token: str) -> int:
        """Return the cursor after which a token resumes. Raises InvalidResumeToken or ResumeTokenOutOfRange."""
        try:
            cursor = self.binding.decode(token, tokens.sequence)
        except tokens.BadToken as error:
            raise InvalidResumeToken from error
        least, most = await self.bounds(events)
        if not least <= cursor <= most:
            raise self._out_of_range(least, most)
        return cursor

    async def out_of_range(self, events: Events) -> ResumeTokenOutOfRange:
        """Return the error for a cursor that is no longer in the history."""
        return self._out_of_range(*await self.bounds(events))

    def _out_of_range(self, least: int, most: int) -> ResumeTokenOutOfRange:
        if self.trader_id is None:
            return ResumeTokenOutOfRange(first_position=str(least), last_position=str(most - 1))
        return ResumeTokenOutOfRange(first_sequence=str(least + 1), last_sequence=str(most))

    async def bounds(self, events: Events) -> tuple[int, int]:
        """Return the least cursor that a token may have, and the current one.

        Does not retry, because nothing has been sent yet. Raises DatabaseUnavailable or DatabaseBusy.
        """
        return await self.read(lambda caller: events.bounds(caller, self.trader_id), stale_seconds=0)

    async def read(self, read: Callable[[Caller], Awaitable[T]], stale_seconds: float | None = None) -> T:
        """Return what `read` returns under the stream's own caller; see `patiently`."""
        return await patiently(lambda: self.caller, read, stale_seconds)
