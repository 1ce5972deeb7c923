"""docs/observability.md shows every metric with its labels and meaning."""

import re

from service.observability.metrics import Metrics
from service.observability.parent_metrics import ParentMetrics
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "observability.md").read_text("utf-8")


def test_each_metric_has_its_row() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| (.*?) ?\| (.+) \|$", PAGE, flags=re.MULTILINE)
    exposed = {}
    for family in [*Metrics().registry.collect(), *ParentMetrics().registry.collect()]:
        if not family.name.startswith(("process_", "python_")):
            name = family.name + "_total" * (family.type == "counter")
            exposed[name] = (family.type, family.documentation.rstrip("."))
    assert len({name for name, *_ in rows}) == len(rows)
    assert {name: (kind, meaning) for name, kind, _, meaning in rows} == exposed
