"""What the alerts and the dashboard query is what a server exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from service.observability.metrics import Metrics
from service.observability.parent_metrics import ParentMetrics
from service.observability.reading import Reading
from tests.paths import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "blotter.json"
OF_PROMETHEUS = {"up", "ALERTS"}
OF_EVERY_TARGET = {"job", "instance", "le", "alertname", "alertstate", "severity"}
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"}
MATCHERS = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
NAME = re.compile(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()")


def alerts() -> list[dict[str, Any]]:
    """The rules, from all groups."""
    return [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Where a query stands, and the query."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"].replace(f", {variable['name']})", ")")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def names(query: str) -> set[str]:
    """The metrics that a query names."""
    bare = GROUPING.sub("", re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", query))
    return set(NAME.findall(bare)) - WORDS


def labels(query: str) -> dict[str, set[str]]:
    """The labels that a query selects by, for each metric."""
    found: dict[str, set[str]] = {}
    for metric, matchers in MATCHERS.findall(query):
        found.setdefault(metric, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers))
    return found


def exposed() -> dict[str, set[str]]:
    """The series of a server, with their labels: one of each metric is made, and read as Prometheus does."""
    found: dict[str, set[str]] = {}
    for metrics in (Metrics(), ParentMetrics()):
        for metric in vars(metrics).values():
            if isinstance(metric, Reading):
                metric.set(1, *metric._labels)
            elif isinstance(metric, MetricWrapperBase) and metric._labelnames:
                metric.labels(*metric._labelnames)
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


EXPOSED = exposed()


@pytest.mark.parametrize(("place", "query"), list(queries()))
def test_every_metric_and_label_of_a_query_is_exposed(place: str, query: str) -> None:
    assert names(query), place
    assert names(query) - OF_PROMETHEUS <= set(EXPOSED), place
    for metric, selected in labels(query).items():
        assert selected <= EXPOSED.get(metric, set()) | OF_EVERY_TARGET, (place, metric)
    grouped = {label.strip() for group in GROUPING.findall(query) for label in group.split(",") if label.strip()}
    known = set().union(*(EXPOSED.get(metric, set()) for metric in names(query)))
    assert grouped <= known | OF_EVERY_TARGET, place


def test_the_names_are_found_in_a_query() -> None:
    query = 'sum by (job) (rate(a_total{b="c"}[5m])) / on (job) group_left (x) max(d_bytes) > 14 * 86400 or up'
    assert names(query) == {"a_total", "d_bytes", "up"}
    assert labels(query) == {"a_total": {"b"}}


def test_every_alert_has_a_section_of_the_runbook_and_says_what_it_means() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text("utf-8")
    sections = re.findall(r"^### (Blotter\w+)$", runbook, re.MULTILINE)
    assert sorted(rule["alert"] for rule in alerts()) == sorted(sections)
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        said = rule["annotations"]
        assert said.pop("runbook_url") == f"docs/operations.md#{rule['alert'].lower()}"
        assert set(said) == {"summary", "description"}
        assert all(said.values())


def test_the_panels_of_the_dashboard_have_their_own_ids_and_places() -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"], panel["title"]
