"""The files of deploy/ agree with the server: its settings, logins, packages and version."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.embedded import Cluster
from service.settings import Settings
from tests.paths import ROOT

DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
UNIT = (DEPLOY / "systemd" / "blotter.service").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
KUBERNETES: list[dict[str, Any]] = [
    document
    for file in (DEPLOY / "kubernetes").glob("*.yaml")
    for document in yaml.safe_load_all(file.read_text("utf-8"))
]
LOGINS = {"trader", "execution", "compliance", "desk", "sequencer"}


def resource(kind: str, name: str = "blotter") -> dict[str, Any]:
    """The manifest of this kind and name."""
    [found] = [one for one in KUBERNETES if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def _containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    template = document.get("spec", {}).get("template", {})
    found: list[dict[str, Any]] = template.get("spec", {}).get("containers", [])
    return found


def _of_kubernetes(resource: dict[str, Any]) -> dict[str, str]:
    """The variables of a container: those of the config map, changed by its own."""
    data: dict[str, str] = CONFIG["data"]
    [container] = _containers(resource)
    own = {
        variable["name"]: variable.get("value") or data[variable["valueFrom"]["configMapKeyRef"]["key"]]
        for variable in container["env"]
    }
    return IMAGE | data | own


def environments() -> dict[str, dict[str, str]]:
    """The variables that each deployment sets for the service and for its other commands."""
    compose = {
        name: IMAGE | COMPOSE["services"][name]["environment"] for name in ("blotter", "admin", "identity", "keys")
    }
    return {
        "compose": compose["blotter"],
        "compose, admin": compose["admin"],
        "compose, identity": compose["identity"],
        "compose, keys": compose["keys"],
        "kubernetes": _of_kubernetes(resource("Deployment")),
        "kubernetes, job": _of_kubernetes(resource("Job", f"blotter-migrate-{VERSION.replace('.', '-')}")),
        "systemd": dict(re.findall(r"^Environment=(BLOTTER_\w+)=(\S+)", UNIT, re.MULTILINE)),
    }


IMAGE = dict(re.findall(r"^ +(BLOTTER_\w+)=(\S+)", CONTAINERFILE, re.MULTILINE))
CONFIG = resource("ConfigMap")


def secrets() -> dict[str, set[str]]:
    """The files that each deployment puts into BLOTTER_SECRETS_DIRECTORY."""
    return {
        "compose": set(COMPOSE["services"]["blotter"]["secrets"]),
        "compose, admin": set(COMPOSE["services"]["admin"]["secrets"]),
        "compose, identity": set(COMPOSE["services"]["identity"]["secrets"]),
        "compose, keys": set(),
        "kubernetes": {f"blotter_{login}_password" for login in LOGINS},
        "kubernetes, job": {"blotter_owner_password"},
        "systemd": set(re.findall(r"^LoadCredential=(\w+):", UNIT, re.MULTILINE)),
    }


@pytest.mark.parametrize("deployment", environments())
def test_the_server_accepts_the_settings(deployment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environments()[deployment].items():
        if name.startswith("BLOTTER_"):
            monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    monkeypatch.setenv("BLOTTER_SECRETS_DIRECTORY", str(tmp_path))
    for name in secrets()[deployment]:
        (tmp_path / name).write_text("secret")
    settings = Settings()
    known = {login for login in LOGINS | {"owner"} if getattr(settings, f"{login}_password")}
    assert known == {name.split("_")[1] for name in secrets()[deployment]}
    if deployment in {"compose", "kubernetes"}:
        assert known == LOGINS
        assert (settings.auth, settings.trusted_gateway) == ("jwt", False)
        assert settings.tls_cert
        assert settings.metrics_listen == "0.0.0.0:9464"


def test_every_image_of_the_service_has_its_version() -> None:
    images = [service["image"] for service in COMPOSE["services"].values()]
    for one in KUBERNETES:
        images += [container["image"] for container in _containers(one)]
    ours = [image for image in images if "blotter" in image]
    assert len(ours) >= 5
    assert {image.rpartition(":")[2] for image in ours} == {VERSION}
    assert f'image.version="{VERSION}"' in CONTAINERFILE
    assert resource("Job", f"blotter-migrate-{VERSION.replace('.', '-')}")
    assert not [image for image in images if image.endswith(":latest") or ":" not in image]


def test_no_container_of_ours_runs_as_root_or_writes_to_its_image() -> None:
    for one in KUBERNETES:
        for container in _containers(one):
            assert one["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    for name, service in COMPOSE["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if "postgres:" not in service["image"]:  # its program changes from root to its account itself
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
    assert re.search(r"^USER 10001:10001$", CONTAINERFILE, re.MULTILINE)


def _needed(package: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    for requirement in map(Requirement, requires(package) or []):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in extras | {""}):
            yield canonicalize_name(requirement.name)
            yield from _needed(requirement.name, frozenset(requirement.extras))


def test_the_image_holds_what_the_server_needs_and_no_other_package() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    removed = CONTAINERFILE.partition("uninstall --yes")[2].partition("\n\n")[0].replace("\\", "").split()
    assert set(removed) == locked - set(_needed("blotter"))


def test_the_superuser_script_makes_logins_with_passwords_and_the_database_and_can_be_repeated(
    logins: Cluster, tmp_path: Path
) -> None:
    accounts = {"owner", *LOGINS}
    for login in accounts:
        (tmp_path / f"blotter_{login}_password").write_text(f"{login}'s")
    script = f"\\set folder {tmp_path}\n\\set roles {ROOT / 'sql' / 'roles.sql'}\n\\i {DEPLOY}/postgres/prepare.sql\n"
    try:
        for _ in range(2):
            logins.psql(script)
        hashed = "SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%' ORDER BY rolname"
        assert set(logins.psql(hashed).split()) == {f"blotter_{login}" for login in accounts}
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'blotter'"
        assert logins.psql(owner).strip() == "blotter_owner"
    finally:
        logins.psql('DROP DATABASE IF EXISTS "blotter"')
        for login in accounts:
            logins.psql(f"ALTER ROLE blotter_{login} PASSWORD NULL")


def test_pgbouncer_knows_the_logins_that_call_through_it() -> None:
    start = (DEPLOY / "pgbouncer" / "start.sh").read_text("utf-8")
    named = start.partition("for login in ")[2].partition(";")[0].split()
    assert set(named) == {f"blotter_{login}" for login in LOGINS - {"sequencer"}}
