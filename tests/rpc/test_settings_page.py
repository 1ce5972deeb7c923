"""docs/settings.md shows every setting with its default and its values."""

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr

from service.settings import Settings
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "settings.md").read_text("utf-8")
FORMS = {
    "listen": "`HOST:PORT`, `[IPv6]:PORT`, `unix:PATH`",
    "database_url": "`postgresql://HOST:PORT/DATABASE`",
    "sequencer_database_url": "`postgresql://HOST:PORT/DATABASE`",
    "metrics_listen": "`HOST:PORT`, `[IPv6]:PORT`",
    "otlp_endpoint": "such as `http://localhost:4317`",
    "ledger_origin": "such as `example.com/blotter`",
    "jwt_issuer": "text, mostly a URL",
    "jwt_audiences": "texts, separated by commas",
    "jwt_jwks": "`https://...`, or a file",
    "jwt_algorithms": "`ES256`, `ES384`, `ES512`, `EdDSA`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`",
    "jwt_claims": "`WHAT=CLAIM`, separated by commas",
    "identity_key": "file",
    "tls_cert": "file",
    "tls_key": "file",
    "tls_client_ca": "file",
    "tls_client_crl": "file",
    "witnesses": "`URL VERIFIER-KEY`, separated by commas",
}
KINDS = {int: "integer", float: "number"}


def values(name: str) -> str:
    """The values of a setting that the page states."""
    field = Settings.model_fields[name]
    if name in FORMS:
        return FORMS[name]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    [kind] = set(get_args(field.annotation) or [field.annotation]) - {type(None)}
    if kind is bool:
        return "`true`, `false`"
    if kind in (Path, SecretStr):
        return {Path: "folder", SecretStr: "text"}[kind]
    return ", ".join([KINDS[kind], *(_bound(bound) for bound in field.metadata)])


def _bound(bound: Any) -> str:
    match bound:
        case Ge(ge=least):
            return f"{least} or more"
        case Gt(gt=least):
            return f"more than {least}"
        case Le(le=most):
            return f"at most {most}"
    raise AssertionError(bound)


def default(name: str) -> str:
    """The default of a setting that the page states."""
    given = Settings.model_fields[name].default
    if given is None or given == "":
        return "none"
    return f"`{str(given).lower() if isinstance(given, bool) else given}`"


def test_each_setting_has_its_row() -> None:
    rows = re.findall(r"^\| `BLOTTER_([A-Z_]+)` \| (.*?) \| (.*?) \| (.+) \|$", PAGE, flags=re.MULTILINE)
    shown = {name.lower(): (given, allowed) for name, given, allowed, _ in rows}
    assert len(shown) == len(rows)
    assert shown == {name: (default(name), values(name)) for name in Settings.model_fields}
