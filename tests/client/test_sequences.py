"""The numbering of a stream: which numbers are consecutive, and which losses a heartbeat reveals."""

from __future__ import annotations

import pytest

from blotter.orders.v1.order_pb2 import OrderEvent
from blotter.orders.v1.watch_pb2 import Heartbeat, SnapshotComplete
from blotter_client.sequences import MessageLost, Sequences


def events(*sequences: int) -> list[OrderEvent]:
    """Events of one trader."""
    return [OrderEvent(sequence=sequence) for sequence in sequences]


def at(*positions: int) -> list[OrderEvent]:
    """Events of all traders, whose sequences are not sorted."""
    return [OrderEvent(sequence=100 - position, position=position) for position in positions]


def beat(last: int, last_event: int) -> Heartbeat:
    return Heartbeat(last_sequence=last, last_event_sequence=last_event)


def beat_at(last: int, last_event: int) -> Heartbeat:
    return Heartbeat(last_position=last, last_event_position=last_event)


def test_one_traders_events_are_dense() -> None:
    sequences = Sequences(dense=True, start=4)
    with pytest.raises(MessageLost):
        sequences.events(events(6))
    sequences.events(events(5, 6))
    sequences.events(events())
    sequences.events(events(7))
    for invalid in ((9,), (7,), (6,), (8, 10), (8, 8)):
        with pytest.raises(MessageLost):
            sequences.events(events(*invalid))
    sequences.events(events(8))


def test_a_stream_that_starts_at_a_token_may_start_at_any_event() -> None:
    sequences = Sequences(dense=True)
    sequences.events(events(41))
    with pytest.raises(MessageLost, match="event 43 came after event 41"):
        sequences.events(events(43))


def test_filtered_events_only_ascend() -> None:
    sequences = Sequences(dense=False)
    sequences.events(events(3, 9))
    for invalid in ((9,), (8,), (12, 11), (12, 12)):
        with pytest.raises(MessageLost):
            sequences.events(events(*invalid))
    sequences.events(events(10))


def test_events_of_all_traders_ascend_by_position() -> None:
    sequences = Sequences(dense=False)
    sequences.heartbeat(beat_at(-1, -1))
    sequences.events(at(0, 3))
    sequences.heartbeat(beat_at(3, 3))
    sequences.heartbeat(beat_at(8, 3))
    with pytest.raises(MessageLost):
        sequences.events(at(8))
    sequences.events(at(9))
    with pytest.raises(MessageLost, match="the server last sent event 11, the last received is event 9"):
        sequences.heartbeat(beat_at(12, 11))


def test_the_first_position_is_zero_and_its_loss_is_detected() -> None:
    with pytest.raises(MessageLost):
        Sequences(dense=False).heartbeat(beat_at(0, 0))


@pytest.mark.parametrize("empty", [False, True])
def test_a_snapshot_of_all_traders_is_numbered_by_position(empty: bool) -> None:
    sequences = Sequences(dense=False)
    sequences.snapshot(SnapshotComplete(last_sequence=99, last_position=-1 if empty else 7))
    if not empty:
        with pytest.raises(MessageLost):
            sequences.events(at(7))
    sequences.events(at(0 if empty else 8))


def test_a_snapshot_includes_its_last_sequence() -> None:
    sequences = Sequences(dense=True)
    sequences.snapshot(SnapshotComplete(last_sequence=7))
    for invalid in (7, 9):
        with pytest.raises(MessageLost):
            sequences.events(events(invalid))
    sequences.events(events(8))


def test_a_heartbeat_names_the_last_event_of_this_connection() -> None:
    sequences = Sequences(dense=True, start=0)
    sequences.heartbeat(beat(0, 0))
    sequences.events(events(1, 2))
    sequences.heartbeat(beat(2, 2))
    sequences.reconnected()
    with pytest.raises(MessageLost):
        sequences.heartbeat(beat(2, 2))
    sequences.heartbeat(beat(2, 0))


@pytest.mark.parametrize("last_event", [1, 3])
def test_a_heartbeat_that_names_another_event_reveals_a_loss(last_event: int) -> None:
    sequences = Sequences(dense=False, start=0)
    sequences.events(events(2))
    with pytest.raises(MessageLost):
        sequences.heartbeat(beat(5, last_event))


@pytest.mark.parametrize("dense", [True, False])
def test_a_server_that_is_behind_the_last_event_reveals_a_loss(dense: bool) -> None:
    sequences = Sequences(dense=dense, start=0)
    sequences.events(events(1, 2))
    with pytest.raises(MessageLost, match="the server is at 1 after event 2"):
        sequences.heartbeat(beat(1, 2))


def test_a_server_that_is_ahead_of_a_dense_stream_reveals_a_loss() -> None:
    sequences = Sequences(dense=True, start=0)
    sequences.events(events(1))
    with pytest.raises(MessageLost, match="the server is at 2, the last received is event 1"):
        sequences.heartbeat(beat(2, 1))


def test_a_heartbeat_states_the_progress_of_a_filtered_stream() -> None:
    sequences = Sequences(dense=False, start=0)
    sequences.heartbeat(beat(12, 0))
    with pytest.raises(MessageLost):
        sequences.events(events(12))
    sequences.events(events(13))


def test_the_first_heartbeat_after_a_token_is_where_the_stream_starts() -> None:
    sequences = Sequences(dense=True)
    sequences.heartbeat(beat(40, 0))
    with pytest.raises(MessageLost):
        sequences.events(events(42))
    sequences.events(events(41))
