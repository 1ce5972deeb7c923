"""Sequencers that kill themselves (SIGKILL), each before a later step, until one completes.

    python -m tests.ledger.killed_sequencers CONNINFO FOLDER

`{login}` in CONNINFO stands for the login. A step is a message to the database, BEGIN and COMMIT too, or a call that
changes a file. Each sequencer is a process of its own, forked from this one, and has new events to append. Prints the
steps, as JSON.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from psycopg import AsyncConnection

from blotter_verifier.notes import parse_note
from service.repositories.append import LedgerWriter
from service.sequencing.checkpoints import Checkpoints
from service.sequencing.keys import KeyFolder
from service.sequencing.publishing import Publishing
from service.sequencing.sinks import DirectorySink
from tests.conftest import ALICE, BOB
from tests.ledger.test_appending import all_of, submit

ORIGIN = "log.example/blotter"
FILE_CALLS = {"os.rename", "os.mkdir", "os.remove", "os.truncate"}


class Killer:
    """Kills the process after so many steps, and records the steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.counting = False

    def step(self) -> None:
        """Count a step, or kill the process before it."""
        if not self.counting:
            return
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Count every step of this process from now on."""
        connection_waits = AsyncConnection.wait

        async def wait(connection: AsyncConnection[Any], *values: Any, **named: Any) -> Any:
            self.step()
            return await connection_waits(connection, *values, **named)

        def audit(event: str, values: tuple[Any, ...]) -> None:
            if event in FILE_CALLS or (event == "open" and values[2] and values[2] & (os.O_WRONLY | os.O_RDWR)):
                self.step()

        AsyncConnection.wait = wait  # type: ignore[assignment, method-assign]
        sys.addaudithook(audit)


async def one_round(conninfo: str, checkpoints: Checkpoints, sink: DirectorySink, killer: Killer) -> None:
    """Do one round of the sequencer's work."""
    async with LedgerWriter.connected(conninfo, None) as writer:
        while not await writer.elected():  # noqa: ASYNC110  # the server may not know yet that the last one is dead
            await asyncio.sleep(0.01)
        killer.counting = True
        tree = await writer.edge()
        await all_of(writer, tree)
        async with aiohttp.ClientSession() as session, Publishing(writer, session, sink, []) as publishing:
            publishing.offer(await checkpoints.begin(writer, tree))
            publishing.offer(await checkpoints.sign(writer, tree))
            stored = await writer.newest_checkpoint()
            assert stored is not None
            text = parse_note(stored.note).text
            while (outside := sink.newest()) is None or outside.text != text:  # noqa: ASYNC110  # a file
                await asyncio.sleep(0.01)
        killer.counting = False


def main(conninfo: str, folder: Path) -> None:
    """Kill sequencers until three have completed."""
    keys, sink = KeyFolder(folder / "keys"), DirectorySink(folder / "outside")
    keys.generate(ORIGIN)
    written, deaths, survived = 0, 0, 0
    while survived < 3:
        with psycopg.connect(conninfo.format(login="blotter_trader")) as trader:
            # Sometimes enough to complete a tile.
            for _ in range(300 if deaths % 4 == 0 else 3):
                written += 1
                submit(trader, ALICE if written % 2 else BOB, str(written))
        pid = os.fork()
        if pid == 0:
            killer = Killer(deaths)
            killer.watch()
            checkpoints = Checkpoints(ORIGIN, keys, sink)
            asyncio.run(one_round(conninfo.format(login="postgres"), checkpoints, sink, killer))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            deaths += 1
        elif status == 0:
            survived += 1
        else:
            raise SystemExit(f"A sequencer ended with {status} after {deaths} deaths.")
    sys.stdout.write(json.dumps({"written": written, "deaths": deaths}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
