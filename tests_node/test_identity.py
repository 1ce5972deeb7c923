"""The Node example over TLS with a token that expires while it runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.authentication.certificates import Authority
from tests.authentication.issuer import AUDIENCE, ISSUER, Issuer
from tests.conftest import ALICE, Database
from tests.operations.command_line import DEADLINE, Serving, environment
from tests_node.conftest import program

ORDERS = 12  # one per second
SECONDS = 8
"""The life of the first token: it expires while the example runs."""


def test_a_stream_resumes_with_the_next_token(example: Path, database: Database, tmp_path: Path) -> None:
    authority, issuer = Authority(), Issuer()
    certificate, key = authority.server().write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    token = tmp_path / "token"
    server = Serving(
        tmp_path,
        BLOTTER_DATABASE_URL=database.url,
        BLOTTER_SEQUENCER="false",
        BLOTTER_TLS_CERT=str(certificate),
        BLOTTER_TLS_KEY=str(key),
        BLOTTER_AUTH="jwt",
        BLOTTER_JWT_ISSUER=ISSUER,
        BLOTTER_JWT_AUDIENCES=AUDIENCE,
        BLOTTER_JWT_JWKS=str(issuer.write(tmp_path / "jwks.json")),
        BLOTTER_JWT_TRUST_CLAIMS="true",
        BLOTTER_JWT_LEEWAY_SECONDS="0",
    )
    try:
        server.await_ready()
        token.write_text(issuer.token("alice", blotter_trader=str(ALICE), seconds=SECONDS))
        with subprocess.Popen(
            [program("node"), "example.js"],
            cwd=example,
            env=environment(
                BLOTTER_TARGET=server.target.replace("127.0.0.1", "localhost"),
                TRADER_ID=str(ALICE),
                ORDERS=str(ORDERS),
                TLS_CA=str(tmp_path / "ca.pem"),
                TOKEN_FILE=str(token),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as node:
            try:
                assert node.stdout
                printed = [node.stdout.readline() for _ in range(4)]  # the refused order, and the snapshot
                replacement = tmp_path / "next"
                replacement.write_text(issuer.token("alice", blotter_trader=str(ALICE)))
                replacement.replace(token)
                text = "".join(printed) + node.communicate(timeout=DEADLINE)[0]
            finally:
                node.kill()
    finally:
        server.process.kill()
        server.ended()
    assert node.returncode == 0, text
    assert text.count("\nUNAUTHENTICATED TOKEN_EXPIRED: ") == 1, text
    assert text.count("the snapshot is complete") == 1, text
    assert re.findall(r"^\d+ ACTION_([A-Z]+) ", text, re.MULTILINE) == [*["SUBMITTED"] * ORDERS, "CANCELLED"], text
