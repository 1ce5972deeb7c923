"""No line of the log holds the content of an order, except at DEBUG."""

import asyncio
import logging
import os

import pytest

from service import logs
from tests.conftest import Database
from tests.rpc.errors import reason_of, refused
from tests.serving import serving

UNEXPECTED = """
    CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'An order of %', NEW.symbol; END $$;
    CREATE TRIGGER quoting BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION quote()
"""
FORMS = [logs.Json("{asctime}{message}", style="{"), logs.Text("%(asctime)s %(message)s")]


@pytest.mark.parametrize("form", FORMS, ids=["JSON", "text"])
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_the_text_of_a_database_error_is_logged_at_debug_alone(
    database: Database, form: logging.Formatter, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that the service does not expect: its text quotes the row, and the traceback its cause."""
    monkeypatch.setattr(logging.getLogger("blotter"), "level", logging.getLevelName(level))
    logging.getLogger("blotter").manager._clear_cache()  # type: ignore[attr-defined]
    reading, writing = os.pipe()
    handler, writer = logs.queued(writing, form)
    await asyncio.to_thread(database.cluster.psql, UNEXPECTED, dbname=database.name)
    logging.getLogger("blotter").addHandler(handler)
    writer.start()
    try:
        async with serving(database) as blotter:
            assert reason_of(await refused(blotter.submit())) == "INTERNAL"
    finally:
        logging.getLogger("blotter").removeHandler(handler)
        await asyncio.to_thread(writer.stop)
        os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    assert "psycopg.errors.RaiseException" in text
    assert ("of AAPL" in text) is (level == "DEBUG")
