"""Schemas support released servers, which continue during and after an upgrade, up to a contract step that ends it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from service import migrations
from tests.conftest import Database
from tests.migrations.record_release import RELEASES, Recording, play, read, record, write
from tests.paths import ROOT


def numbers(release: str) -> tuple[int, ...]:
    """The version as a key for sorting."""
    return tuple(map(int, release.split(".")))


FOLDERS = sorted(RELEASES.iterdir(), key=lambda folder: numbers(folder.name))

NEWEST = {"0.2.0": "019"}
"""The newest revision that admits a release, of those that the newest schema does not admit."""


def serves_from(database: Database) -> str:
    """The oldest revision that a server of the newest schema must know."""
    stated = migrations.compatibility(database.conninfo("blotter_trader"))
    assert stated
    return stated.serves_from


def test_the_last_release_may_serve_the_newest_schema(database: Database) -> None:
    assert numbers(FOLDERS[-1].name) <= numbers(version("blotter"))
    assert serves_from(database) <= read(FOLDERS[-1]).head


def test_the_release_that_the_schema_names_knows_the_revision_that_it_asks_for(database: Database) -> None:
    stated = migrations.compatibility(database.conninfo("blotter_trader"))
    assert stated
    named = [folder for folder in FOLDERS if folder.name == stated.release]
    assert [stated.serves_from <= read(folder).head for folder in named] == [True]


def upgrade_as_far_as(database: Database, release: Recording) -> str:
    """Bring an empty database to the newest revision that admits the servers of a release; return that revision."""
    owner, revisions = database.conninfo("blotter_owner"), migrations.known()
    admitting = release.head
    for revision in revisions[revisions.index(release.head) :]:
        migrations.upgrade(owner, revision, quiet=True)
        if serves_from(database) > release.head:
            migrations.downgrade(owner, admitting, quiet=True)
            break
        admitting = revision
    database.cluster.psql(ROOT / "sql" / "harden.sql", dbname=database.name)
    return admitting


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_a_release_sends_has_the_same_outcomes_on_the_newest_schema_that_admits_it(
    empty: Database, folder: Path
) -> None:
    """The tables, columns, functions and privileges that it uses exist; its writes have the same outcomes as then."""
    release = read(folder)
    assert upgrade_as_far_as(empty, release) == NEWEST.get(folder.name, migrations.head())
    played = play(empty, release.messages)
    assert [(message.sql, message.outcomes) for message in release.messages] == [
        (message.sql, outcomes) for message, outcomes in zip(release.messages, played.outcomes, strict=True)
    ]
    assert len(played.digests) == 1, "what the schema states of policies and grants is not what the release computes"


@pytest.mark.parametrize("name", NEWEST)
def test_a_release_that_the_newest_schema_does_not_admit_could_not_write_to_it(database: Database, name: str) -> None:
    """Its statements need functions and privileges that revision 020 takes away: the check at its start says so."""
    release = read(RELEASES / name)
    assert serves_from(database) > release.head
    with pytest.raises((psycopg.errors.UndefinedFunction, psycopg.errors.InsufficientPrivilege)):
        play(database, release.messages)


@pytest.mark.parametrize(
    "contracted",
    [
        "REVOKE SELECT ON ledger_tiles FROM blotter_compliance",
        "REVOKE EXECUTE ON FUNCTION cancel_order FROM blotter_trader",
        "ALTER TABLE audit_accesses RENAME COLUMN actor TO who",
        "ALTER TABLE fills DROP COLUMN commission CASCADE",
        "ALTER TABLE orders ADD CHECK (take_profit IS NULL)",
        "DROP FUNCTION append_note_to_ledger",
    ],
)
def test_a_change_that_breaks_the_last_release_is_detected(database: Database, contracted: str) -> None:
    with psycopg.connect(database.conninfo("postgres")) as superuser:
        superuser.execute(contracted.encode())
    with pytest.raises(psycopg.Error):
        play(database, read(FOLDERS[-1]).messages)


def test_a_release_can_be_recorded_and_read_again(database: Database, tmp_path: Path) -> None:
    messages = record(database)
    logins = {"trader", "execution", "compliance", "sequencer", "owner"}
    assert {message.login for message in messages} == {f"blotter_{login}" for login in logins}
    recording = Recording(migrations.head(), messages)
    write(tmp_path / "1.2.3", recording)
    assert read(tmp_path / "1.2.3") == recording
