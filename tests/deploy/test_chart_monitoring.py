"""What Prometheus and Grafana get from the chart."""

import json
import re

import yaml

from tests.deploy.chart import CHART, PRODUCTION, Rendered, render

RULES = sorted((CHART / "files/rules").glob("*.yml"))
DASHBOARDS = sorted((CHART / "files/dashboards").glob("*.json"))


def test_every_service_is_scraped_where_its_metrics_are(production: Rendered) -> None:
    monitors = {each["metadata"]["name"]: each["spec"] for each in production.of_kind("ServiceMonitor")}
    for component in ("gateway", "command-service", "vehicle-connector"):
        name = f"sovd-webapp-{component}"
        labels = production.get("Service", name)["metadata"]["labels"]
        assert monitors[name]["selector"]["matchLabels"].items() <= labels.items()
        # Prometheus' job: what rules and dashboards call it.
        assert labels[monitors[name]["jobLabel"]] == component
        (endpoint,) = monitors[name]["endpoints"]
        ports = {port["name"] for port in production.get("Service", name)["spec"]["ports"]}
        assert endpoint["port"] in ports


def test_every_rule_reaches_the_operator(production: Rendered) -> None:
    assert RULES
    rendered = {each["metadata"]["name"]: each["spec"] for each in production.of_kind("PrometheusRule")}
    assert rendered == {f"sovd-webapp-{file.stem}": yaml.safe_load(file.read_text()) for file in RULES}


def test_alerts_link_to_where_runbooks_can_be_read() -> None:
    chart = render(PRODUCTION, 'monitoring.rules.runbooksUrl="https://example.com/docs/runbooks/"')
    rules = [
        rule for each in chart.of_kind("PrometheusRule") for group in each["spec"]["groups"] for rule in group["rules"]
    ]
    alerts = [rule for rule in rules if "alert" in rule]
    assert alerts
    for alert in alerts:
        page, _, heading = alert["annotations"]["runbook_url"].partition("#")
        assert page.startswith("https://example.com/docs/runbooks/")
        headings = (CHART.parents[1] / page.removeprefix("https://example.com/")).read_text()
        assert re.search(rf"^### {heading.replace('-', '[- ]')}$", headings, re.MULTILINE | re.IGNORECASE), heading


def test_every_dashboard_reaches_grafana(production: Rendered) -> None:
    assert DASHBOARDS
    for file in DASHBOARDS:
        config_map = production.get("ConfigMap", f"sovd-webapp-dashboard-{file.stem}")
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(config_map["data"][file.name]) == json.loads(file.read_text())


def test_the_local_prometheus_finds_the_services(local: Rendered) -> None:
    config = yaml.safe_load(local.get("ConfigMap", "sovd-webapp-monitoring")["data"]["prometheus.yml"])
    for job in config["scrape_configs"]:
        (target,) = job["static_configs"][0]["targets"]
        service, _, port = target.partition(":")
        ports = {each["port"] for each in local.get("Service", service)["spec"]["ports"] if each["name"] == "metrics"}
        assert ports == {int(port)}
    files = local.get("ConfigMap", "sovd-webapp-monitoring-files")["data"]
    assert {file.name for file in (*RULES, *DASHBOARDS)} == set(files)


def test_flags_switch_it_off(local: Rendered) -> None:
    assert not local.of_kind("ServiceMonitor", "PrometheusRule")


def test_helm_test_runs_the_smoke_tests(production: Rendered) -> None:
    pod = production.workload("smoke-test")
    assert pod.manifest["metadata"]["annotations"]["helm.sh/hook"] == "test"
    script = production.get("ConfigMap", "sovd-webapp-smoke-test")["data"]["smoke_tests.sh"]
    assert script == (CHART.parents[1] / "scripts/smoke_tests.sh").read_text()
    environment = pod.environment(production)
    assert environment["API_BASE_URL"] == "http://sovd-webapp-gateway:8000"
    assert environment["FRONTEND_BASE_URL"] == "http://sovd-webapp-web"
