"""The messages of a stream, serialized: an event is serialized once, for all streams that send it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import Message

from service.repositories.events import Event

EVENTS_A_MESSAGE = 500
"""The contract's maximum of events in a message."""

MESSAGE_BYTES = 1024 * 1024
"""A message has no further event after this size: by default clients accept 4 MiB."""

_LENGTH_DELIMITED = 2


class Encoded(NamedTuple):
    """A message in the protobuf encoding, and the resume token in it."""

    resume_token: str
    data: bytes


class Entry(NamedTuple):
    """An event, the cursor of a stream that has sent it, and its encoding."""

    cursor: int
    event: Event
    data: bytes

    @property
    def number(self) -> int:
        """The event's position on streams over all traders, otherwise its sequence."""
        return self.event.log.sequence if self.event.position is None else self.event.position


@dataclass(frozen=True, slots=True)
class StreamMethod:
    """How the messages of a method are made."""

    name: str
    message: Callable[..., Message]
    """The type of the messages, with the fields `resume_token` and `heartbeat`."""
    events_field: int
    """The number of the field of events."""
    encode: Callable[[Event], bytes]
    """Returns the encoding of that field's message with one event. That of several events is their concatenation."""

    def entry(self, event: Event) -> Entry:
        """Return the event with its encoding."""
        cursor = event.log.sequence if event.position is None else event.position + 1
        return Entry(cursor, event, self.encode(event))

    def events(self, token: str, entries: Iterable[Entry]) -> Encoded:
        """Return the message of some events."""
        content = b"".join(entry.data for entry in entries)
        tag = self.events_field << 3 | _LENGTH_DELIMITED
        return Encoded(token, b"".join((self._encoded(token), varint(tag), varint(len(content)), content)))

    def heartbeat(self, token: str, beat: Any) -> Encoded:
        """Return the message of a heartbeat."""
        return Encoded(token, self._encoded(token, heartbeat=beat))

    def _encoded(self, token: str, **fields: Any) -> bytes:
        return self.message(resume_token=token, **fields).SerializeToString()


def first_message(entries: list[Entry]) -> list[Entry]:
    """Return the entries, from the first one, that one message may have."""
    size = 0
    for count, entry in enumerate(entries[:EVENTS_A_MESSAGE]):
        if size >= MESSAGE_BYTES:
            return entries[:count]
        size += len(entry.data)
    return entries[:EVENTS_A_MESSAGE]


def varint(number: int) -> bytes:
    """Return the base-128 varint of a number of 0 or more."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
