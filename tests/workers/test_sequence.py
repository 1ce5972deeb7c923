"""`blotter sequence`: the sequencer as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

from service.sequence import RunningSequencer, running_sequencer
from service.servicers.health import LEDGER
from tests.conftest import Database
from tests.operations.command_line import DEADLINE, free_port, run, started, until
from tests.serving import Blotter, serving, settings
from tests.workers.service import ORIGIN, with_keys
from tests.workers.service import until as until_true


def status(port: int, name: str) -> int:
    """The HTTP status of a health name; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{name}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def metrics(port: int) -> str:
    """The text of the metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


async def test_the_command_sequences_what_a_server_without_a_sequencer_records(
    tmp_path: Path, blotter: Blotter
) -> None:
    port = free_port()
    database = blotter.database
    own = with_keys(tmp_path) | {
        "BLOTTER_DATABASE_URL": database.url,
        "BLOTTER_METRICS_LISTEN": f"127.0.0.1:{port}",
    }
    await blotter.submit()
    with started("sequence", cwd=tmp_path, **own, BLOTTER_SEQUENCER="false") as process:
        await asyncio.to_thread(until, lambda: status(port, LEDGER) == 200, "the ledger is not healthy")
        assert [status(port, name) for name in ("startup", "liveness", "readiness")] == [200, 200, 404]
        for _ in range(3):
            await blotter.submit()
        appended = "SELECT count(*) FROM ledger_entries WHERE kind = 'EXECUTION_LOG'"
        await asyncio.to_thread(
            until, lambda: int(database.cluster.psql(appended, dbname=database.name)) == 4, "not all are in the ledger"
        )
        text = await asyncio.to_thread(metrics, port)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, printed
    assert "blotter_sequencer_active 1.0" in text
    assert "blotter_db_up" not in text, "it would show a database that is away"


async def test_of_two_sequencers_one_works_and_the_other_takes_over(database: Database, tmp_path: Path) -> None:
    with_keys(tmp_path)
    given = settings(ledger_keys=tmp_path / "keys", ledger_origin=ORIGIN)

    def active(one: RunningSequencer) -> float | None:
        one.metrics.update()
        return one.metrics.registry.get_sample_value("blotter_sequencer_active")

    conninfo = database.conninfo("blotter_sequencer")
    async with AsyncExitStack() as first, AsyncExitStack() as second, serving(database) as blotter:
        running = [await stack.enter_async_context(running_sequencer(given, conninfo)) for stack in (first, second)]

        async def one_works() -> bool:
            healthy = all(one.health.is_serving(LEDGER) for one in running)
            return healthy and sorted(active(one) or 0 for one in running) == [0, 1]

        await until_true(one_works, "not one of them works")
        leader = running[0] if active(running[0]) else running[1]
        await (first if leader is running[0] else second).aclose()
        await blotter.submit()
        [other] = [one for one in running if one is not leader]

        async def takes_over() -> bool:
            return active(other) == 1

        await until_true(takes_over, "the other one does not take over")


def test_without_a_database_to_join_it_names_the_remedy(tmp_path: Path) -> None:
    done = run("sequence", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No PostgreSQL runs in .blotter: start `blotter serve`")
