"""`blotter desks` and `blotter principals`: what the owner registers, and what is refused."""

from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner, Result

from service.cli.main import main
from service.domain.identity import CallerKind
from service.repositories import desks, principals
from tests.conftest import ALICE, BOB, Database

ISSUER = {
    "BLOTTER_AUTH": "jwt",
    "BLOTTER_JWT_ISSUER": "https://issuer.example",
    "BLOTTER_JWT_AUDIENCES": "blotter",
    "BLOTTER_JWT_JWKS": "keys.json",
}
NOBODY = "00000000-0000-4000-8000-000000000000"


def test_desks_and_principals_are_registered_listed_and_disabled(database: Database) -> None:
    def run(*arguments: str, **settings: str) -> Result:
        # In this process: each command of its own would start an interpreter.
        return CliRunner().invoke(main, arguments, env={"BLOTTER_DATABASE_URL": database.url} | settings)

    def done(*arguments: str, **settings: str) -> str:
        ended = run(*arguments, **settings)
        assert ended.exit_code == 0, ended.output
        return ended.output

    desk = done("desks", "add", "Équipe Nord").strip()
    done("desks", "rename", desk, "Nord")
    done("desks", "assign", desk, str(ALICE), str(BOB))
    done("desks", "remove", str(BOB))
    first, member = done("desks", "list").splitlines()
    assert first.startswith(desk)
    assert first.endswith("  Nord")
    assert member.split()[0] == str(ALICE)

    done("principals", "add", "alice@example", "--trader", str(ALICE), **ISSUER)
    done("principals", "add", "spiffe://example/gate", "--role", "execution", "--issuer", "mtls", "--actor", "gate 7")
    added = done("principals", "add", "chief", "--desk", desk, **ISSUER)
    assert added == f"chief of https://issuer.example calls as desk {desk}.\n"
    disabled = done("principals", "disable", "chief", **ISSUER)
    assert disabled == "chief of https://issuer.example is disabled.\n"
    done("principals", "disable", "alice@example", **ISSUER)
    done("principals", "enable", "alice@example", **ISSUER)
    assert done("principals", "list").splitlines() == [
        f"https://issuer.example  trader={ALICE}  alice@example",
        f"https://issuer.example  desk={desk}  chief  (disabled)",
        "mtls  execution  actor=gate 7  spiffe://example/gate",
    ]

    without_issuer = run("principals", "disable", "chief")
    assert "Name --issuer" in without_issuer.output
    two = run("principals", "add", "x", "--role", "execution", "--trader", str(ALICE), **ISSUER)
    assert "exactly one of --trader, --role and --desk" in two.output
    unknown = run("desks", "assign", desk, str(BOB), NOBODY)
    assert f"No trader is registered with the id {NOBODY}" in unknown.output
    assert len(done("desks", "list").splitlines()) == 2  # BOB was not moved either


def test_what_cannot_be_registered_is_refused_with_the_reason(database: Database) -> None:
    owner = database.conninfo("blotter_owner")
    principals.add(owner, "mtls", "CN=gate", CallerKind.EXECUTION)
    with pytest.raises(principals.PrincipalRefused, match="is registered already"):
        principals.add(owner, "mtls", "CN=gate", CallerKind.COMPLIANCE)
    with pytest.raises(principals.PrincipalRefused, match="No trader with this id"):
        principals.add(owner, "mtls", "CN=t", CallerKind.TRADER, trader_id=UUID(NOBODY))
    with pytest.raises(principals.PrincipalRefused, match="no desk with this id"):
        principals.add(owner, "mtls", "CN=d", CallerKind.DESK, desk_id=UUID(NOBODY))
    for actor in ("blotter", " a", "é", "x" * 101, ""):
        with pytest.raises(principals.PrincipalRefused, match="An actor is"):
            principals.add(owner, "mtls", "CN=a", CallerKind.EXECUTION, actor=actor)
    for issuer, subject in (("", "x"), ("x y", "s"), ("x", ""), ("x", "a\u200bb"), ("x", "s" * 2001), ("i" * 501, "s")):
        with pytest.raises(principals.PrincipalRefused, match="An issuer"):
            principals.add(owner, issuer, subject, CallerKind.EXECUTION)
    with pytest.raises(principals.PrincipalRefused, match="No such principal"):
        principals.disable(owner, "mtls", "CN=nobody")
    desk = desks.add(owner, "North")
    with pytest.raises(desks.DeskRefused, match="name exists already"):
        desks.add(owner, "NORTH")
    with pytest.raises(desks.DeskRefused, match="id exists already"):
        desks.add(owner, "South", desk.id)
    with pytest.raises(desks.DeskRefused, match="no desk with this id"):
        desks.assign(owner, UUID(NOBODY), [ALICE])
    with pytest.raises(desks.DeskRefused, match="no desk with this id"):
        desks.rename(owner, UUID(NOBODY), "West")


@pytest.mark.parametrize("login", ["blotter_trader", "blotter_compliance", "blotter_desk", "blotter_sequencer"])
def test_no_login_of_a_caller_reads_principals(database: Database, login: str) -> None:
    with (
        psycopg.connect(database.conninfo(login)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT subject FROM principals")
