"""The runbook: every alert has its section, every statement runs, every link leads to a heading."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from tests.conftest import Database
from tests.paths import ROOT

RUNBOOK = (ROOT / "docs" / "operations.md").read_text("utf-8")
STATEMENTS = re.findall(r"^ *```sql\n(.*?)^ *```", RUNBOOK, re.MULTILINE | re.DOTALL)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "packages").glob("*/README.md")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_alert_has_its_section_and_no_other_alert_has_one() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
    alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"]}
    assert sorted(re.findall(r"^### (Blotter\w+)$", RUNBOOK, re.MULTILINE)) == sorted(alerts)
    for name, url in alerts.items():
        page, _, anchor = url.partition("#")
        assert anchor in anchors(ROOT / page), name


@pytest.mark.parametrize("statements", STATEMENTS)
def test_the_statements_run(database: Database, statements: str) -> None:
    database.cluster.psql(dedent(statements), dbname=database.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_heading(page: Path) -> None:
    for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        assert anchor in anchors((page.parent / file) if file else page), f"{file}#{anchor}"
