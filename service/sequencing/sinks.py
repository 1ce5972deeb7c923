"""The sinks of checkpoints outside the database, which reveal a ledger that was rewritten and signed again."""

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
from service.calls import Calls
from service.files import replacing

_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n?")
_LARGEST_ANSWER = 100_000


class SinkFailed(Exception):
    """The checkpoint could not be delivered. A retry or a later checkpoint may succeed."""


class WitnessContradicts(SinkFailed):
    """The witness has signed a larger tree, or one that this tree does not continue."""

    def __init__(self, message: str, size: int | None) -> None:
        super().__init__(message)
        self.size = size
        """The size of the tree that it has signed, if it reports one."""


class _Conflict(Exception):
    """The request named another old size than the one that the witness has signed."""

    def __init__(self, known: int) -> None:
        self.known = known


class Prover(Protocol):
    """Makes the consistency proof from an old size to that of the checkpoint."""

    async def __call__(self, old_size: int) -> list[bytes]:
        """Return the hashes of the proof."""


class DirectorySink:
    """A folder, preferably on other storage than the database: `checkpoint`, and each hour's last in `history/`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.calls = Calls(f"The checkpoint directory {folder}")

    def newest(self) -> Note | None:
        """Return the newest delivered checkpoint; None when there is none. Raises InvalidNote for any other file."""
        file = self._folder / "checkpoint"
        try:
            return parse_note(file.read_text("utf-8")) if file.exists() else None
        except ValueError as error:  # InvalidNote, or not UTF-8
            raise InvalidNote(f"{file} is no checkpoint: {error}") from error

    def deliver(self, note: Note) -> None:
        """Write the checkpoint atomically, unless the folder has a newer one. Raises SinkFailed."""
        history = self._folder / "history"
        try:
            history.mkdir(parents=True, exist_ok=True)
            newest = self.newest()
            checkpoint = Checkpoint.parse(note.text)
            existing = Checkpoint.parse(newest.text) if newest else None
            if existing and existing.size > checkpoint.size and existing.origin == checkpoint.origin:
                return  # written by a sequencer that has taken over
            _replace(self._folder / "checkpoint", str(note))
            _replace(history / f"{datetime.now(UTC):%Y-%m-%dT%H}Z", str(note))
        except (OSError, InvalidNote) as error:
            raise SinkFailed(f"The checkpoint cannot be written to {self._folder}: {error}") from error


class Witness:
    """A C2SP witness (tlog-witness), which signs only a tree that continues the one that it has signed before."""

    def __init__(self, url: str, verifier: Verifier, patience: float = 10) -> None:
        """`url` is the witness's prefix, to which /add-checkpoint is added."""
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
        raise SinkFailed(f"The witness {self.verifier.name} reports another tree size at each request.")

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
                f"The witness {self.verifier.name} reports that this tree of {size} entries does not continue the one "
                "that it has signed.",
                None,
            )
        if answer.status != 200:
            raise SinkFailed(f"The witness {self.verifier.name} returned status {answer.status}: {text[:200]!r}")
        try:
            signature = self._checked(note, parse_signatures(text))
        except InvalidNote as error:
            raise SinkFailed(f"The witness {self.verifier.name} returned no valid signature: {error}") from error
        self._known = size
        return signature

    def _checked(self, note: Note, signatures: Sequence[Signature]) -> Signature:
        for signature in signatures:
            if (signature.name, signature.key_id) == (self.verifier.name, self.verifier.key_id):
                self.verifier.verify(note.text, signature.signature)
                return signature
        raise InvalidNote("its signature is not in the response")


async def _all_of(content: aiohttp.StreamReader) -> bytes:
    """Return the response body. Raises aiohttp.ClientError when it is larger than _LARGEST_ANSWER."""
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise aiohttp.ClientPayloadError("the response is too large")
    return body


def _replace(file: Path, text: str) -> None:
    with replacing(file) as writing:
        writing.write(text.encode())
