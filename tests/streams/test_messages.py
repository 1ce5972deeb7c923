"""The encoding of messages from events that are encoded already."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blotter.orders.v1 import order_pb2, watch_pb2
from service.repositories.events import Event
from service.servicers.orders import WATCH
from service.streams.messages import Entry, StreamMethod, first_message, varint

EVENTS = st.builds(
    order_pb2.OrderEvent,
    sequence=st.integers(1, 2**62),
    reason=st.text(max_size=300),
    order=st.builds(order_pb2.Order, symbol=st.text(max_size=22), labels=st.dictionaries(st.text(), st.text())),
)


def entry(event: order_pb2.OrderEvent, position: int | None = None) -> Entry:
    """An event that was encoded from a message."""
    data = watch_pb2.OrderEvents(events=[event]).SerializeToString()
    method = StreamMethod(WATCH.name, WATCH.message, WATCH.events_field, lambda _: data)
    log: Any = type("Log", (), {"sequence": event.sequence})
    return method.entry(Event(log, position))


@given(st.lists(EVENTS, max_size=30), st.text(max_size=300))
def test_the_message_of_encoded_events_is_that_of_the_events(events: list[order_pb2.OrderEvent], token: str) -> None:
    message = watch_pb2.WatchOrdersResponse(resume_token=token, events=watch_pb2.OrderEvents(events=events))
    encoded = WATCH.events(token, [entry(event) for event in events])
    assert watch_pb2.WatchOrdersResponse.FromString(encoded.data) == message
    assert encoded.resume_token == token


def test_a_heartbeat_has_the_token() -> None:
    beat = watch_pb2.Heartbeat(last_sequence=7)
    encoded = WATCH.heartbeat("token", beat)
    message = watch_pb2.WatchOrdersResponse.FromString(encoded.data)
    assert (message.resume_token, message.heartbeat) == ("token", beat)


def test_the_cursor_of_an_entry_is_where_a_stream_goes_on() -> None:
    event = order_pb2.OrderEvent(sequence=5)
    assert (entry(event).cursor, entry(event).number) == (5, 5)
    assert (entry(event, 8).cursor, entry(event, 8).number) == (9, 8)


def test_a_message_is_bounded_in_events_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry(order_pb2.OrderEvent(sequence=number, reason="x" * 100)) for number in range(1, 20)]
    assert first_message(entries) == entries
    monkeypatch.setattr("service.streams.messages.EVENTS_A_MESSAGE", 7)
    assert first_message(entries) == entries[:7]
    monkeypatch.setattr("service.streams.messages.MESSAGE_BYTES", 250)
    assert first_message(entries) == entries[:3], "the one that passes the bound is still in the message"
    monkeypatch.setattr("service.streams.messages.MESSAGE_BYTES", 1)
    assert first_message(entries) == entries[:1]
    assert first_message([]) == []


@pytest.mark.parametrize(("number", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2")])
def test_varints(number: int, encoded: bytes) -> None:
    assert varint(number) == encoded
