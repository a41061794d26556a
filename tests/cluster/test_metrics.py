"""Proves that what is told to Prometheus is what the Grafana page asks for.

pytest tests/cluster/test_metrics.py
"""

import ast
import json
import re
from pathlib import Path

import yaml

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
TAGS = {"study", "state", "le"}
ENDINGS = {"Gauge": ("",), "Counter": ("_total",), "Histogram": ("_bucket", "_sum", "_count")}


def exported() -> set[str]:
    """The names under which Ray's endpoint offers the metrics that the code makes."""
    names = set()
    for node in ast.walk(ast.parse((CLUSTER / "metrics.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ENDINGS:
            assert isinstance(node.args[0], ast.Constant)
            names |= {
                f"ray_{node.args[0].value!s}{ending}" for ending in ENDINGS[ast.unparse(node.func)]
            }
    return names


def test_every_question_of_the_page_is_about_a_metric_that_is_there() -> None:
    page = json.loads((CLUSTER / "monitoring" / "grafana.json").read_text(encoding="utf-8"))
    questions = [target["expr"] for panel in page["panels"] for target in panel["targets"]]
    asked = {name for question in questions for name in re.findall(r"ray_\w+", question)}
    assert asked and asked <= exported()
    assert {re.sub("_(bucket|total)$", "", name) for name in asked} == {
        re.sub("_(bucket|sum|count|total)$", "", name) for name in exported()
    }, "every metric is shown"
    tags = {
        tag.strip()
        for question in questions
        for by in re.findall(r"by \(([^)]*)\)", question)
        for tag in by.split(",")
    }
    assert tags <= TAGS
    assert len({panel["id"] for panel in page["panels"]}) == len(page["panels"])


def test_no_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((CLUSTER / "monitoring" / "grafana.json").read_text(encoding="utf-8"))[
        "panels"
    ]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_looks_where_ray_lists_its_nodes() -> None:
    config = yaml.safe_load(
        (CLUSTER / "monitoring" / "prometheus.yaml").read_text(encoding="utf-8")
    )
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"] == [{"files": ["/tmp/ray/prom_metrics_service_discovery.json"]}]
