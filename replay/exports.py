"""Compares the ledger with the book: the stream of all traders, and an export, verified with the offline verifier."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO
from uuid import UUID

from blotter_client import BlotterError, Client, ExecutionLog
from blotter_verifier.bundle import NotABundle, verify
from blotter_verifier.notes import Verifier
from replay.difference import Difference
from replay.player import PATIENCE

MAX_TRADER_IDS = 100


def over_all_traders(compliance: Client, traders: Sequence[UUID], wanted: int) -> list[ExecutionLog]:
    """Return the traders' logs by position. Waits until the ledger has `wanted` of them, at most `PATIENCE` seconds."""
    named = traders if len(traders) <= MAX_TRADER_IDS else ()
    deadline = time.monotonic() + PATIENCE
    while True:
        with compliance.stream_execution_logs(follow=False, trader_ids=named) as stream:
            logs = [log for message in stream for log in message.logs.execution_logs]
        own = [log for log in logs if UUID(log.trader_id) in traders]
        if len(own) >= wanted or time.monotonic() > deadline:
            return own
        time.sleep(0.1)


def in_order(logs: Sequence[ExecutionLog]) -> Iterator[Difference]:
    """Check that the positions ascend."""
    for before, log in pairwise(logs):
        if log.position <= before.position:
            yield Difference("stream over all traders", "position", f"above {before.position}", log.position)


def exported(compliance: Client, logs: Sequence[ExecutionLog]) -> tuple[int, list[Difference]]:
    """Export and verify the whole ledger. Return the number of the logs that it includes, and the differences."""
    where = "export"
    last = max((log.position for log in logs), default=-1)
    if not _signed(compliance, last):
        return 0, [Difference(where, "checkpoint that covers the last log", f"above {last}", "none")]
    with tempfile.TemporaryFile() as file:
        for chunk in compliance.export_execution_logs():
            file.write(chunk.data)
        leaves = dict(_leaves(file))
        file.seek(0)
        try:
            verdict = verify(file, list(_keys(leaves.values())))
        except NotABundle as error:
            return 0, [Difference(where, "bundle", "readable", str(error))]
    differences = [Difference(where, "verdict", "verified", fault) for fault in verdict.faults]
    ids = {content["id"] for content in leaves.values() if content["type"] == "execution_log"}
    missing = [log.log_id for log in logs if log.log_id not in ids]
    differences += [Difference(where, log_id, "present", "missing") for log_id in missing]
    return len(logs) - len(missing), differences


def _signed(compliance: Client, position: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if compliance.get_checkpoint().tree_size > position:
                return True
        except BlotterError as error:
            if error.reason != "CHECKPOINT_NOT_FOUND":
                raise
        time.sleep(0.1)
    return False


def _leaves(file: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
    file.seek(0)
    for number, line in enumerate(file):
        if line.startswith(b"{"):
            yield number, json.loads(line)


def _keys(leaves: Iterable[dict[str, str]]) -> Iterator[Verifier]:
    """Return the keys that the ledger states. A third party must obtain them elsewhere; here consistency is enough."""
    for leaf in leaves:
        if leaf["type"] == "keys":
            yield from map(Verifier.parse, leaf["keys"])
