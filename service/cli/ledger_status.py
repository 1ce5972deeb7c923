"""`blotter ledger status`: the state of the ledger, and what blocks it, as far as another process can determine it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import InvalidKey, InvalidNote, parse_note
from service.domain.errors import LedgerDamaged
from service.repositories.append import LedgerWriter
from service.repositories.standing import Holder, Standing
from service.sequencing.checkpoints import Checkpoints, RefusedToSign
from service.sequencing.keys import KeyFolder
from service.sequencing.sinks import DirectorySink
from service.sequencing.watch import COPIED, behind
from service.settings import Settings


class Status(NamedTuple):
    """The state in lines for people, and the problems."""

    lines: list[str]
    faults: list[str]


async def look(settings: Settings, conninfo: str, password: str | None) -> Status:
    """Return the status of the ledger in a database. Raises DatabaseUnavailable."""
    keys = KeyFolder(settings.keys_folder) if settings.keys_folder else None
    directory = DirectorySink(settings.checkpoints_folder) if settings.checkpoints_folder else None
    async with LedgerWriter.connected(conninfo, password) as writer:
        standing, waiting, holder = await writer.standing(), await writer.waiting(), await writer.lock_holder()
        cosignatures = list(await writer.cosignatures(standing.signed_size)) if standing.signed_size else []
        faults = []
        if holder is None:
            faults.append("No process holds the sequencers' lock: no entries are added while none serves.")
        elif holder.login != "blotter_sequencer":
            faults.append(
                f"{holder.login} holds the sequencers' lock, which only blotter_sequencer may take: end that session."
            )
        if standing.copied:
            faults.append(COPIED)
        elif late := behind(standing, settings.checkpoint_seconds if keys else None):
            faults.append(late)
        if refused := await _refusal(writer, Checkpoints(settings.ledger_origin, keys, directory)):
            faults.append(f"No checkpoint is signed. {refused}")
    return Status(list(_lines(settings, standing, waiting, cosignatures, holder)), faults)


async def _refusal(writer: LedgerWriter, checkpoints: Checkpoints) -> str | None:
    """Return why the sequencer, with the settings of this process, would refuse to sign the current tree."""
    try:
        await checkpoints.check_keys(writer)
        await checkpoints.begin(writer, await writer.edge())
    except LedgerDamaged as error:
        return f"{error} ReconcileOrders reports what differs."
    except (RefusedToSign, InvalidKey, InvalidNote, OSError) as error:
        return str(error)
    return None


def _lines(
    settings: Settings, standing: Standing, waiting: int, cosignatures: list[str], holder: Holder | None
) -> Iterator[str]:
    yield f"ledger        {settings.ledger_origin} (BLOTTER_LEDGER_ORIGIN; the keys carry it)"
    yield f"entries       {standing.size}"
    yield f"lag           {waiting} events have no position" + (
        f", the first for {_ago(standing.lag)}" if standing.waiting_since else ""
    )
    if standing.signed_at is None:
        yield "checkpoint    none"
    else:
        signed_by = ""
        with suppress(InvalidNote):
            note = parse_note(standing.signed_note or "")
            signed_by = ", ".join(f"{one.name}+{one.key_id.hex()}" for one in note.signatures)
            if (origin := Checkpoint.parse(note.text).origin) != settings.ledger_origin:
                signed_by += f", for {origin}"
        age = _ago(standing.now - standing.signed_at)
        yield f"checkpoint    {standing.signed_size} entries, signed {age} ago by {signed_by or 'no key'}"
        yield f"cosignatures  {', '.join(cosignatures) or 'none'}"
    yield f"sequencer     {_holder(holder)}"


def _holder(holder: Holder | None) -> str:
    if holder is None:
        return "none"
    since = f" since {holder.since:%Y-%m-%dT%H:%M:%SZ}" if holder.since else ""
    return f"{holder.login} at {holder.address or 'a socket'}, backend {holder.pid}{since}"


def _ago(age: timedelta) -> str:
    return str(timedelta(seconds=int(age.total_seconds())))
