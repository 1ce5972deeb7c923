"""A minimal witness (C2SP tlog-witness): it signs only trees that are consistent with those it has signed."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from blotter_verifier.checkpoint import Checkpoint
from blotter_verifier.notes import COSIGNATURE, InvalidNote, Signer, Verifier, parse_note
from blotter_verifier.proofs import InvalidProof, verify_consistency


class SmallWitness:
    """A witness of one log."""

    def __init__(self, log: Verifier, seed: bytes = b"\x07" * 32) -> None:
        self.log = log
        self.signer = Signer(f"witness-{seed[0]}.example/{log.name}", seed, COSIGNATURE)
        self.away = False
        self.fault: Callable[[web.Request], Any] | None = None
        self.seen: Checkpoint | None = None
        self.answers: list[int] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on a free port while the context lasts."""
        app = web.Application()
        app.router.add_post("/add-checkpoint", self.add_checkpoint)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def add_checkpoint(self, request: web.Request) -> web.Response:
        """Handle add-checkpoint, the one call of a witness."""
        if self.fault:
            answer = self.fault(request)
            return answer if isinstance(answer, web.Response) else await answer
        status, text = (503, "away") if self.away else self.judged(await request.text())
        self.answers.append(status)
        return web.Response(status=status, text=text)

    def judged(self, body: str) -> tuple[int, str]:
        """Return the status and the text of the response."""
        head, _, message = body.partition("\n\n")
        first, *lines = head.split("\n")
        try:
            note = parse_note(message)
            checkpoint = Checkpoint.parse(note.text)
            if checkpoint.origin != self.log.name:
                return 404, "unknown origin"
            if not note.signed_by([self.log]):
                return 403, "not signed"
        except InvalidNote as error:
            return 403, str(error)
        old = int(first.removeprefix("old "))
        known = self.seen.size if self.seen else 0
        if old > checkpoint.size:
            return 400, "old is larger"
        if old != known:
            return 409, f"{known}\n"
        if self.seen:
            try:
                proof = [base64.b64decode(line) for line in lines]
                verify_consistency(known, checkpoint.size, self.seen.root, checkpoint.root, proof)
            except InvalidProof as error:
                return 422, str(error)
        self.seen = checkpoint
        return 200, self.signer.sign(note.text, time=1_700_000_000).line
