"""The state of the ledger: its lag behind the log, and its newest checkpoint."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import NamedTuple

HEAD = """
    SELECT coalesce(head.size, 0), head.incarnation IS NOT NULL AND head.incarnation <> ledger_incarnation(),
        clock_timestamp(), least(
            (SELECT created_at FROM execution_logs WHERE xid >= head.next_xid ORDER BY xid, trader_id LIMIT 1),
            (SELECT min(created_at) FROM unnest(head.open_xids) AS open CROSS JOIN LATERAL (
                SELECT created_at FROM execution_logs WHERE xid = open ORDER BY xid, trader_id LIMIT 1) AS ended)),
        signed.size, signed.created_at, signed.note,
        (SELECT leaf FROM ledger_entries WHERE position = coalesce(signed.size, 0))
    FROM (SELECT) AS one
    LEFT JOIN ledger_head AS head ON true
    LEFT JOIN (SELECT size, created_at, note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1) AS signed ON true
"""
"""Costs some index probes, independent of the size of the tables. A log that is visible to this statement under a
transaction id that the head has not reached has no position; the first step of all (no `next_xid`) is not counted.
"""

WAITING = """
    SELECT coalesce(sum(last_sequence - coalesce((
            SELECT sequence FROM ledger_entries WHERE ledger_entries.trader_id = trader_sequences.trader_id
            ORDER BY ledger_entries.trader_id DESC, sequence DESC LIMIT 1), 0)), 0)::bigint
    FROM trader_sequences
"""
"""The number of events that have no position: one index probe for each trader."""

HOLDER = """
    SELECT usename::text, pid, application_name, client_addr::text, backend_start
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = %(lock)s
"""


class Standing(NamedTuple):
    """The ledger as the database has it."""

    size: int
    copied: bool
    """Whether the database is a copy of the one in which the ledger was written."""
    now: datetime
    """The database's time."""
    waiting_since: datetime | None
    """When the first event without a position was recorded; None if there is none."""
    signed_size: int | None
    signed_at: datetime | None
    signed_note: str | None
    unsigned_leaf: bytes | None
    """The first entry that no checkpoint covers."""

    @property
    def lag(self) -> timedelta:
        """How long the first event without a position has been waiting."""
        return max(self.now - self.waiting_since, timedelta()) if self.waiting_since else timedelta()

    @property
    def unsigned(self) -> timedelta:
        """How long ago the first entry that no checkpoint covers was recorded."""
        if self.unsigned_leaf is None:
            return timedelta()
        try:
            content = json.loads(self.unsigned_leaf)
            recorded = datetime.fromisoformat(content.get("created_at") or content["time"])
            return max(self.now - recorded, timedelta())
        except (ValueError, LookupError, TypeError, AttributeError):  # altered: its content is not used
            return timedelta()


class Holder(NamedTuple):
    """The session that holds the sequencers' lock."""

    login: str
    pid: int
    application: str
    address: str | None
    since: datetime | None
