"""Publishes checkpoints to the sinks independently: a slow sink delays neither the others nor the signing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

import aiohttp

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import Note, parse_signatures
from service.domain.errors import BlotterError
from service.ledger.tiles import consistency_spans, needed, root_over
from service.repositories.append import LedgerWriter
from service.sequencing.sinks import DirectorySink, SinkFailed, Witness, WitnessContradicts

RETRY_SECONDS = 5.0
"""The time after which a sink that failed is offered the newest checkpoint again, unless a newer one comes first."""

DIRECTORY = "The checkpoint directory"

log = logging.getLogger("blotter.checkpoints")


class Publishing:
    """Offers the newest checkpoint to every sink until its context ends. No sink needs older ones."""

    def __init__(
        self,
        writer: LedgerWriter,
        session: aiohttp.ClientSession,
        directory: DirectorySink | None,
        witnesses: Sequence[Witness],
    ) -> None:
        self._writer = writer
        self._session = session
        self._note: Note | None = None
        self.contradiction: str | None = None
        """The message of a witness that has signed a contradicting tree; then this tree must not be signed any more."""
        self._sinks: dict[str, Callable[[Note], Awaitable[None]]] = {
            witness.verifier.name: partial(self._cosign, witness) for witness in witnesses
        }
        if directory:
            self._sinks[DIRECTORY] = partial(self._deliver, directory)
        self.cosigned_at = dict.fromkeys((witness.verifier.name for witness in witnesses), time.monotonic())
        """When each witness last cosigned, or else when publishing began, by `time.monotonic()`."""
        self._news = {sink: asyncio.Event() for sink in self._sinks}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._serve(sink), name=f"publish to {sink}") for sink in self._sinks]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def offer(self, note: Note | None) -> None:
        """Offer a checkpoint, unless it is None, to every sink."""
        if note is None:
            return
        self._note = note
        for news in self._news.values():
            news.set()

    async def _serve(self, sink: str) -> None:
        """Give a sink each newest checkpoint. Logs a failure once, not for each checkpoint, and logs its end."""
        failure: str | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if failure else None):
                    await self._news[sink].wait()
            self._news[sink].clear()
            if self._note is None:
                continue
            try:
                await self._sinks[sink](self._note)
            except (SinkFailed, BlotterError) as error:
                if str(error) != failure:
                    log.log(logging.ERROR if isinstance(error, WitnessContradicts) else logging.WARNING, "%s", error)
                failure = str(error)
            except Exception as error:
                log.exception("%s could not take a checkpoint", sink)
                failure = repr(error)
            else:
                if failure:
                    log.info("%s takes checkpoints again", sink)
                failure = None

    async def _deliver(self, directory: DirectorySink, note: Note) -> None:
        kept = await self._writer.cosignatures(Checkpoint.parse(note.text).size)
        cosigned = [signature for line in kept.values() for signature in parse_signatures(line)]
        whole = Note(note.text, [*note.signatures, *cosigned])
        try:
            await directory.calls.run(lambda: directory.deliver(whole))
        except TimeoutError as error:
            raise SinkFailed(str(error)) from error

    async def _cosign(self, witness: Witness, note: Note) -> None:
        size = Checkpoint.parse(note.text).size
        name = witness.verifier.name
        if name in await self._writer.cosignatures(size):
            self.cosigned_at[name] = time.monotonic()
            return

        async def prove(old_size: int) -> list[bytes]:
            spans = consistency_spans(old_size, size)
            tiles = await self._writer.tiles(needed(spans, size))
            return [root_over(span, tiles) for span in spans]

        try:
            signature = await witness.cosign(self._session, note, prove)
        except WitnessContradicts as error:
            newest = await self._writer.newest_checkpoint()
            # Another sequencer may have taken over and requested a cosignature before this one.
            if newest is None or newest.size == size or (error.size is not None and error.size > newest.size):
                self.contradiction = str(error)
            raise
        await self._writer.add_cosignature(size, name, signature.line)
        self.cosigned_at[name] = time.monotonic()
        if DIRECTORY in self._news:
            self._news[DIRECTORY].set()
