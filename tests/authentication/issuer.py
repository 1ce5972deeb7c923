"""An issuer of tokens for tests: it signs them, and serves its key set over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "blotter"


class Issuer:
    """Signs tokens with its newest key. `fetches` counts how often the key set was read."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.algorithms: dict[str, str] = {}
        self.url = ""
        self.fetches = 0
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()
        self.body: bytes | None = None
        self.add_key("first")

    def add_key(self, kid: str, algorithm: str = "ES256") -> None:
        """Make a key and add it to the set; later tokens are signed with it."""
        makers: dict[str, Any] = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "PS256": lambda: rsa.generate_private_key(65537, 2048),
        }
        self.keys[kid] = makers[algorithm]()
        self.algorithms[kid] = algorithm

    def remove_key(self, kid: str) -> None:
        """Take a key out of the set."""
        del self.keys[kid], self.algorithms[kid]

    def token(self, subject: str | None, *, seconds: float = 600, kid: str | None = None, **claims: Any) -> str:
        """Return a token that expires after `seconds`. A claim given as None is left out."""
        now = int(time.time())
        payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + seconds, **claims}
        return self.signed({name: value for name, value in payload.items() if value is not None}, kid)

    def signed(self, payload: dict[str, Any], kid: str | None = None, **headers: Any) -> str:
        """Return any payload as a token, with further headers."""
        kid = kid or list(self.keys)[-1]
        return jwt.encode(payload, self.keys[kid], self.algorithms[kid], {"kid": kid, **headers})

    @property
    def key_set(self) -> dict[str, Any]:
        """The JSON Web Key Set of the public keys."""
        return {"keys": [self.public_jwk(kid) for kid in self.keys]}

    def public_jwk(self, kid: str) -> dict[str, Any]:
        """One key as the set shows it."""
        algorithm = jwt.get_algorithm_by_name(self.algorithms[kid])
        public: dict[str, Any] = algorithm.to_jwk(self.keys[kid].public_key(), as_dict=True)
        return public | {"kid": kid, "use": "sig", "alg": self.algorithms[kid]}

    def write(self, file: Path) -> Path:
        """Write the key set to a file, atomically, and return the file."""
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(self.key_set), "utf-8")
        return temporary.replace(file)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve the key set on a free port while the context lasts; yields its URL.

        It answers with 503 while `away`, not at all while `answering` is not set, and with `body` where it is given.
        """
        app = web.Application()
        app.router.add_get("/jwks.json", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}/jwks.json"
        try:
            yield self.url
        finally:
            self.answering.set()
            await runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        self.fetches += 1
        await self.answering.wait()
        if self.away:
            return web.Response(status=503)
        return web.Response(body=self.body or json.dumps(self.key_set).encode(), content_type="application/json")


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with a token."""
    return (("authorization", f"Bearer {token}"),)
