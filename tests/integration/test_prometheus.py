"""The alert rules and dashboards of the chart, by a real Prometheus: they are about what the services export."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.conftest import SERVICES, Observed
from tests.support.local_servers import LocalServer
from tests.support.programs import find_binary
from tests.support.system import ROOT
from tests.support.waiting import wait_for

DEPLOYED = ROOT / "deploy/observability/prometheus"
CHART_FILES = ROOT / "charts/sovd-webapp/files"
RULES = sorted((CHART_FILES / "rules").glob("*.yml"))
DASHBOARDS = sorted((CHART_FILES / "dashboards").glob("*.json"))

_NAME = re.compile(r"\b(?:sovd_|process_)[a-z0-9_]+\b|\bup\b|\bsovd:[a-z0-9_:]+\b")
_SELECTOR = re.compile(r"([a-z0-9_]+)\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)(=~|!=|!~|=)\"([^\"]*)\"")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")
# What Prometheus adds to every series.
_ADDED = {"job", "instance", "le"}


def rule_expressions() -> dict[str, str]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule.get("record") or rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def dashboard_expressions() -> dict[str, str]:
    return {
        f"{file.stem}: {panel['title']} {target['refId']}": target["expr"]
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
    }


EXPRESSIONS = rule_expressions() | dashboard_expressions()


def promtool(*arguments: str | Path) -> None:
    ran = subprocess.run([find_binary("promtool"), *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", *sorted((DEPLOYED / "tests").glob("*.yml")))


def test_every_alert_is_tested_and_has_a_runbook() -> None:
    alerts = [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    alerts = [rule for rule in alerts if "alert" in rule]
    tested = "".join(file.read_text() for file in (DEPLOYED / "tests").glob("*.yml"))
    for alert in alerts:
        assert f"alertname: {alert['alert']}\n" in tested, alert["alert"]
        assert alert["labels"]["severity"] in ("critical", "warning")
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9-]", "", title.lower().replace(" ", "-")) for title in headings}, anchor


# --- what the services export


class Exported:
    """The series of all services together."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.series: dict[str, list[dict[str, str]]] = {"up": []}
        for text in texts.values():
            for family in text_string_to_metric_families(text):
                # A counter or histogram that nothing was counted in yet has its names all the same.
                for name in _sample_names(family.name, family.type):
                    self.series.setdefault(name, [])
                for sample in family.samples:
                    self.series.setdefault(sample.name, []).append(sample.labels)

    def has_label(self, metric: str, label: str) -> bool:
        series = self.series[metric]
        return label in _ADDED or not series or any(label in labels for labels in series)

    def has_value(self, metric: str, label: str, value: str) -> bool:
        series = self.series[metric]
        return label in ("job", "instance") or not series or any(labels.get(label) == value for labels in series)


def _sample_names(family: str, kind: str) -> list[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(kind, [""])
    return [family + suffix for suffix in suffixes]


@pytest.fixture(scope="module")
def exported(observed: Observed) -> Exported:
    return Exported({service: observed.metrics(service) for service in SERVICES})


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_is_exported(exported: Exported, where: str) -> None:
    expression, recorded = EXPRESSIONS[where], rule_expressions()
    names = set(_NAME.findall(expression))
    assert names, "about nothing of ours"
    for name in names:
        assert name in (recorded if ":" in name else exported.series), name
    for name, selector in _SELECTOR.findall(expression):
        for label, operator, value in _MATCHER.findall(selector):
            assert exported.has_label(name, label), (name, label)
            assert operator != "=" or exported.has_value(name, label, value), (name, label, value)
    ours = [name for name in names if ":" not in name]
    for labels in _GROUPING.findall(expression):
        for label in re.split(r", *", labels):
            assert any(exported.has_label(name, label) for name in ours), label


# --- a real Prometheus, with the configuration that is deployed


class LocalPrometheus(LocalServer):
    def __init__(self, targets: Mapping[str, int]) -> None:
        super().__init__("prometheus")
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = (DEPLOYED / "prometheus.yml").read_text()
        (self.directory / "prometheus.yml").write_text(configuration.replace(": 15s", ": 1s"))
        shutil.copytree(CHART_FILES / "rules", self.directory / "rules")
        (self.directory / "targets").mkdir()
        for file in (DEPLOYED / "targets").iterdir():
            port = targets[file.stem.replace("-", "_")]
            (self.directory / "targets" / file.name).write_text(f'- targets: ["127.0.0.1:{port}"]\n')

    def command(self) -> list[str]:
        return [
            find_binary("prometheus"),
            f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@pytest.fixture(scope="module")
def prometheus(observed: Observed) -> Iterator[LocalPrometheus]:
    server = LocalPrometheus({service: observed.system.metrics_port(service) for service in SERVICES})
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_every_service_is_scraped(prometheus: LocalPrometheus) -> None:
    def all_up() -> bool:
        targets = prometheus.ask("targets")["activeTargets"]
        jobs = {target["labels"]["job"]: target["health"] for target in targets}
        return jobs == {service.replace("_", "-"): "up" for service in SERVICES}

    wait_for(all_up)
    assert float(prometheus.ask("query", query="sum(up)")["result"][0]["value"][1]) == 3


def test_rules_and_dashboards_are_understood(prometheus: LocalPrometheus) -> None:
    for expression in EXPRESSIONS.values():
        prometheus.ask("query", query=expression.replace("$__rate_interval", "1m"))

    def evaluated() -> bool:
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == set(rule_expressions())
        assert "err" not in {rule["health"] for rule in rules}, rules
        return all(rule["health"] == "ok" for rule in rules)

    wait_for(evaluated)


def test_dashboards_can_be_provisioned() -> None:
    uids = []
    for file in DASHBOARDS:
        dashboard = json.loads(file.read_text())
        uids.append(dashboard["uid"])
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["description"] or "median" in panel["title"] for panel in panels if panel["type"] != "row")
    assert uids == ["sovd-commands", "sovd-operations", "sovd-vehicles"]
