"""Where checkpoints go outside of the database: what catches a database that was wiped and sealed again."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import aiohttp

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import InvalidNote, Note, Signature, Verifier, parse_note, parse_signatures
from service.files import replacing
from service.sequencing.calls import Calls

_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n?")
_LARGEST_ANSWER = 100_000


class SinkFailed(Exception):
    """The checkpoint could not be delivered; the next one may be."""


class WitnessContradicts(SinkFailed):
    """The witness has signed another tree: a larger one, or one that this does not continue."""

    def __init__(self, sentence: str, size: int | None) -> None:
        super().__init__(sentence)
        self.size = size
        """What it has signed, where it says so."""


class _Conflict(Exception):
    """The witness was asked from another size than the one it knows."""

    def __init__(self, known: int) -> None:
        self.known = known


class Prover(Protocol):
    """Gives the consistency proof from an older size to the checkpoint's."""

    async def __call__(self, old_size: int) -> list[bytes]:
        """Return the hashes of the proof."""


class DirectorySink:
    """A folder, best on other storage than the database's: `checkpoint`, and in `history/` the last of each hour."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.calls = Calls(f"The checkpoint directory {folder}")

    def newest(self) -> Note | None:
        """Return the newest checkpoint that was delivered. Raises InvalidNote for a file that is none."""
        file = self._folder / "checkpoint"
        try:
            return parse_note(file.read_text("utf-8")) if file.exists() else None
        except ValueError as error:  # InvalidNote, and what is not UTF-8
            raise InvalidNote(f"{file} is no checkpoint: {error}") from error

    def deliver(self, note: Note) -> None:
        """Write the checkpoint so that no reader ever sees half of it. Raises SinkFailed."""
        history = self._folder / "history"
        try:
            history.mkdir(parents=True, exist_ok=True)
            newest = self.newest()
            mine = Checkpoint.parse(note.text)
            if newest and (there := Checkpoint.parse(newest.text)).size > mine.size and there.origin == mine.origin:
                return  # of a sequencer that has taken over meanwhile
            _replace(self._folder / "checkpoint", str(note))
            _replace(history / f"{datetime.now(UTC):%Y-%m-%dT%H}Z", str(note))
        except (OSError, InvalidNote) as error:
            raise SinkFailed(f"The checkpoint cannot be written to {self._folder}: {error}") from error


class Witness:
    """A C2SP witness (tlog-witness): it signs only what is consistent with what it has signed before."""

    def __init__(self, url: str, verifier: Verifier, patience: float = 10) -> None:
        """`url` is the witness's prefix, below which add-checkpoint is."""
        self.verifier = verifier
        self._url = url.rstrip("/") + "/add-checkpoint"
        self._patience = aiohttp.ClientTimeout(total=patience)
        self._known = 0

    async def cosign(self, session: aiohttp.ClientSession, note: Note, prove: Prover) -> Signature:
        """Return the witness's signature on the checkpoint. Raises SinkFailed, WitnessContradicts."""
        size = Checkpoint.parse(note.text).size
        for _ in range(2):
            try:
                return await self._ask(session, note, size, prove)
            except _Conflict as conflict:
                if conflict.known > size:
                    raise WitnessContradicts(
                        f"The witness {self.verifier.name} has signed a tree of {conflict.known} entries, and this one "
                        f"has {size}: entries were lost.",
                        conflict.known,
                    ) from None
                self._known = conflict.known
        raise SinkFailed(f"The witness {self.verifier.name} does not stay with the size that it knows.")

    async def _ask(self, session: aiohttp.ClientSession, note: Note, size: int, prove: Prover) -> Signature:
        proof = await prove(self._known) if 0 < self._known < size else []
        lines = [f"old {self._known}", *(base64.b64encode(value).decode() for value in proof)]
        body = "\n".join(lines) + "\n\n" + str(note)
        try:
            async with session.post(
                self._url, data=body.encode(), timeout=self._patience, allow_redirects=False
            ) as answer:
                text = (await _all_of(answer.content)).decode()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            raise SinkFailed(f"The witness {self.verifier.name} cannot be reached: {error!r}") from error
        if answer.status == 409 and _SIZE.fullmatch(text):
            raise _Conflict(int(text))
        if answer.status == 422:
            raise WitnessContradicts(
                f"The witness {self.verifier.name} says that this tree of {size} entries does not continue the one "
                "that it has signed.",
                None,
            )
        if answer.status != 200:
            raise SinkFailed(f"The witness {self.verifier.name} answers {answer.status}: {text[:200]!r}")
        try:
            signature = self._checked(note, parse_signatures(text))
        except InvalidNote as error:
            raise SinkFailed(f"The witness {self.verifier.name} does not sign what we sent: {error}") from error
        self._known = size
        return signature

    def _checked(self, note: Note, signatures: Sequence[Signature]) -> Signature:
        for signature in signatures:
            if (signature.name, signature.key_id) == (self.verifier.name, self.verifier.key_id):
                self.verifier.verify(note.text, signature.signature)
                return signature
        raise InvalidNote("its signature is not among those it answers")


async def _all_of(content: aiohttp.StreamReader) -> bytes:
    """Return the answer's body. Raises aiohttp.ClientError for one that is larger than any honest answer."""
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise aiohttp.ClientPayloadError("its answer is too large")
    return body


def _replace(file: Path, text: str) -> None:
    with replacing(file) as writing:
        writing.write(text.encode())
