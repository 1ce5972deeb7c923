"""`blotter serve` with TLS, as a process."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.authentication.certificates import Authority
from tests.authentication.serving import TlsFolder
from tests.conftest import Database
from tests.paths import PYTHONPATH

HANDSHAKES = 50


async def test_strangers_cannot_fill_the_log_with_failed_handshakes(database: Database, tmp_path: Path) -> None:
    tls = TlsFolder(tmp_path, Authority()).settings(clients=True)
    environment = os.environ | {f"BLOTTER_{name.upper()}": str(value) for name, value in tls.items()}
    environment |= {
        "BLOTTER_AUTH": "mtls",
        "BLOTTER_DATABASE_URL": database.url,
        "BLOTTER_LISTEN": "127.0.0.1:0",
        "BLOTTER_LOG_FORMAT": "json",
        "PYTHONPATH": PYTHONPATH,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    try:
        lines: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while not lines or "port" not in lines[-1]:
                lines.append(json.loads(await process.stderr.readline()))
            for _ in range(HANDSHAKES):
                reader, writer = await asyncio.open_connection("127.0.0.1", lines[-1]["port"])
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
            process.send_signal(signal.SIGTERM)
            _, rest = await process.communicate()
        assert process.returncode == 0
        assert len([json.loads(line) for line in rest.splitlines()]) < HANDSHAKES
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
