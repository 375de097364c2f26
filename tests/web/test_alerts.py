"""docs/monitoring: each alert fires when it must and only then, and each query of alerts and
dashboard asks for figures that /metrics has.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyworker.http.metrics import CATALOGUE

from .promtool import promtool

ROOM = Path(__file__).parents[2] / "docs/monitoring"
CASES = Path(__file__).parent / "alerts_test.yaml"
KNOWN = {series: one for one in CATALOGUE for series in one.series}
#: Labels that Prometheus itself gives.
GIVEN = {"instance", "job"}

RULES = yaml.safe_load((ROOM / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((ROOM / "grafana.json").read_text(encoding="utf-8"))


def queries() -> Iterator[tuple[str, str, str]]:
    """Give each query with its name and the words that show what it finds."""
    for rule in RULES:
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def plain(query: str) -> str:
    """Put in what Grafana would."""
    return query.replace("$__rate_interval", "5m").replace("$queue", ".*")


@pytest.mark.parametrize(("name", "query", "words"), list(queries()))
def test_each_query_asks_for_what_there_is(name: str, query: str, words: str) -> None:
    asked = set(re.findall(r"pyworker_\w+", query))
    assert asked <= KNOWN.keys(), name
    assert asked or query.startswith("up{"), name
    labels = {label for series in asked for label in KNOWN[series].labels} | GIVEN
    named = {
        label.strip()
        for group in re.findall(r"\b(?:by|on|without) \(([^)]*)\)", query)
        for label in group.split(",")
    }
    matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
    shown = set(re.findall(r"{{ ?\$labels\.(\w+)|{{(\w+)}}", words))
    assert named | matched | {one or other for one, other in shown} <= labels, name


def test_promtool_reads_each_query(tmp_path: Path) -> None:
    groups: dict[str, Any] = {
        "groups": [
            {
                "name": "queries",
                "rules": [
                    {"record": f"query:{n}", "expr": plain(query)}
                    for n, (_name, query, _words) in enumerate(queries())
                ],
            }
        ]
    }
    (tmp_path / "queries.yaml").write_text(json.dumps(groups))
    code, said = promtool("check", "rules", tmp_path / "queries.yaml")
    assert (code, f"{len(list(queries()))} rules found" in said) == (0, True), said
    assert promtool("check", "rules", ROOM / "alerts.yaml")[0] == 0


def test_each_alert_fires_when_it_must_and_only_then() -> None:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    looks = [look for case in cases for look in case["alert_rule_test"]]
    fired = {look["alertname"] for look in looks if look["exp_alerts"]}
    quiet = {look["alertname"] for look in looks if not look["exp_alerts"]}
    assert fired == quiet == {rule["alert"] for rule in RULES}
    assert len(RULES) == 8
    code, said = promtool("test", "rules", CASES)
    assert code == 0, said


def test_the_dashboard_shows_every_metric() -> None:
    shown = {
        KNOWN[series].name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for series in re.findall(r"pyworker_\w+", target["expr"])
    }
    hidden = {"pyworker_build", "pyworker_queue_paused"}  # of health, and for alerts
    assert shown == {one.name for one in CATALOGUE} - hidden


def test_the_dashboard_is_whole() -> None:
    """Panels have numbers of their own, do not overlap, and use the data source that is chosen."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _y in cells) < 24
    sources = {
        json.dumps(one["datasource"]) for panel in panels for one in (panel, *panel["targets"])
    }
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "queue"}
    assert variables["queue"]["query"]["query"] == "label_values(pyworker_jobs, queue)"
