"""What helm renders is what Kubernetes takes, and what is wrong in the values is said."""

import json
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import (
    CHART,
    LOCAL,
    PRODUCTION,
    VALUE_FILES,
    Object,
    Rendered,
    helm,
    render,
    run_tool,
    values_of,
)

# Their schemas are their operators'; test_chart_variants and test_chart_monitoring look at them.
CUSTOM = {
    "ExternalSecret",
    "PrometheusRule",
    "ScaledObject",
    "SecretStore",
    "ServiceMonitor",
    "TriggerAuthentication",
}
# The oldest that Chart.yaml allows, and one of the newest.
KUBERNETES = ["1.30", "1.37"]
DEFINITIONS = "_definitions.json"
KINDS = (
    "configmap-",
    "deployment-",
    "horizontalpodautoscaler-",
    "ingress-",
    "job-",
    "networkpolicy-",
    "pod-",
    "poddisruptionbudget-",
    "secret-",
    "service-",
    "serviceaccount-",
    "statefulset-",
)


@pytest.mark.parametrize("name", VALUE_FILES)
def test_lint_finds_nothing(name: str) -> None:
    answer = helm("lint", VALUE_FILES[name])
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "[WARNING]" not in answer.stdout


@pytest.fixture(scope="session", params=KUBERNETES)
def schemas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kubernetes' schemas as a package ships them, with references that kubeconform can follow."""
    directory = tmp_path_factory.mktemp("schemas")
    shipped = Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema"
    for file in (shipped / f"v{request.param}.0-local-strict").glob("*.json"):
        if file.name == DEFINITIONS or file.name.startswith(KINDS):
            text = file.read_text().replace(f'"/api/{DEFINITIONS}', f'"{DEFINITIONS}')
            schema = json.loads(text, object_hook=without_description)
            # It says that it is elsewhere, where references would be looked for.
            del schema["$id"]
            (directory / file.name).write_text(json.dumps(schema))
    return directory


def without_description(node: Object) -> Object:
    """Half of what there would be to read."""
    return {key: value for key, value in node.items() if key != "description" or not isinstance(value, str)}


def kubeconform(schemas: Path, *files: Path, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    skipped = f"-skip={','.join(CUSTOM)}"
    options = ("-strict", "-summary", skipped, "-schema-location", location)
    return run_tool("kubeconform", *options, *map(str, files), stdin=text)


def test_kubernetes_takes_every_object(schemas: Path, tmp_path: Path) -> None:
    """With every value file at once: most of the time goes into reading the schemas."""
    files = []
    for name, values in VALUE_FILES.items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(render(values).text)
    answer = kubeconform(schemas, *files)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"in {len(files)} files" in answer.stdout
    assert "Errors: 0" in answer.stdout


@pytest.mark.parametrize("wrong", ['"port": 1', '"ports": [{"port": "http"}]', '"type": 3'])
def test_an_object_that_is_wrong_is_found(schemas: Path, wrong: str) -> None:
    text = f'{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "a"}}, "spec": {{{wrong}}}}}'
    answer = kubeconform(schemas, text=text)
    assert answer.returncode == 1
    assert "Invalid: 1" in answer.stdout


def test_no_two_objects_have_one_name(chart: Rendered) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in chart.objects]
    assert len(names) == len(set(names))


def test_every_object_says_whose_it_is(chart: Rendered) -> None:
    for each in chart.objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "sovd-webapp", each["metadata"]["name"]
        assert labels["app.kubernetes.io/component"]


def test_what_is_referred_to_is_there(chart: Rendered) -> None:
    made = {(kind, name) for kind in _KINDS for name in chart.names(kind)}
    made |= {("Secret", each["spec"]["target"]["name"]) for each in chart.of_kind("ExternalSecret")}
    if not chart.of_kind("Secret", "ExternalSecret"):  # values.yaml alone: the operator makes it, as its README says
        made.add(("Secret", "sovd-webapp-secrets"))
    # The operator makes them: docs/runbooks/secrets_management.md.
    made |= {("Secret", "sovd-webapp-vehicle-tls"), ("Secret", "sovd-webapp-vehicle-ca")}
    missing = {reference for each in chart.objects for reference in references(each)} - made
    assert not missing


def test_keys_that_are_referred_to_are_there(local: Rendered, production: Rendered) -> None:
    for chart in (local, production):
        keys = {each["metadata"]["name"]: set(each["stringData"]) for each in chart.of_kind("Secret")}
        for each in chart.of_kind("ExternalSecret"):
            keys[each["spec"]["target"]["name"]] = set(each["spec"]["target"]["template"]["data"])
        for name, key in secret_keys(chart.objects):
            assert key in keys[name], f"{name} has no {key}"


_KINDS = ("ConfigMap", "Deployment", "Secret", "SecretStore", "Service", "ServiceAccount", "TriggerAuthentication")
_FIELDS = {
    "serviceAccountName": "ServiceAccount",
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "configMap": "ConfigMap",
    "secretKeyRef": "Secret",
    "secretStoreRef": "SecretStore",
    "serviceAccountRef": "ServiceAccount",
    "authenticationRef": "TriggerAuthentication",
    "scaleTargetRef": "Deployment",
    "serviceName": "Service",
}


def references(node: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of what an object refers to by name (but for keys that are optional)."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        kind = _FIELDS.get(key)
        if kind and isinstance(value, str):
            yield kind, value
        elif kind and "name" in value and not value.get("optional"):
            yield kind, value["name"]
        elif key == "secret" and "secretName" in value:
            yield "Secret", value["secretName"]
        elif key == "backend":
            yield "Service", value["service"]["name"]
        yield from references(value)


def secret_keys(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from secret_keys(item)
    elif isinstance(node, dict):
        if (reference := node.get("secretKeyRef")) and not reference.get("optional"):
            yield reference["name"], reference["key"]
        for value in node.values():
            yield from secret_keys(value)


def test_ports_that_are_referred_to_are_there(chart: Rendered) -> None:
    for service in chart.of_kind("Service"):
        selector = service["spec"]["selector"]
        chosen = [each for each in chart.workloads if selector.items() <= each.labels.items()]
        assert chosen, f"{service['metadata']['name']} selects nobody"
        ports = {
            port["name"] for each in chosen for container in each.containers for port in container.get("ports", [])
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for ingress in chart.of_kind("Ingress"):
        for path in ingress["spec"]["rules"][0]["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = chart.get("Service", backend["name"])["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("gateway.replica=3", "replica"),
        ("gatway.replicas=3", "gatway"),
        ("config.environment=prod", "config.environment"),
        ("gateway.replicas=0", "gateway.replicas"),
        ("gateway.env.log_level=DEBUG", "log_level"),
        ("networkPolicy.storeCidrs[0]=rds.example.com", "storeCidrs"),
        ("ingress.controller=traefik", "ingress.controller"),
        ("gateway.resources.limits.memory=512", "memory"),
        ("externalSecrets.roleArn=role", "roleArn"),
        ("web.autoscaling.minReplicas=21", "web.autoscaling.minReplicas"),
    ],
)
def test_values_that_are_wrong_are_named(setting: str, complaint: str) -> None:
    answer = helm("template", LOCAL, setting)
    assert answer.returncode != 0
    assert complaint.rpartition(".")[2] in answer.stderr


def test_every_value_has_a_schema_that_allows_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) == {*values_of(), "global"}
    assert schema["additionalProperties"] is False


REQUIRED = [
    "image.registry",
    "image.tag",
    "config.database.host",
    "config.redis.host",
    "config.rabbitmq.host",
    "externalSecrets.region",
    "externalSecrets.roleArn",
    "ingress.host",
    "ingress.alb.certificateArn",
    "ingress.sourceCidrs",
    "networkPolicy.storeCidrs",
]


@pytest.mark.parametrize("value", REQUIRED)
def test_production_says_what_is_missing(value: str) -> None:
    empty = "null" if value.endswith("Cidrs") else ""
    answer = helm("template", PRODUCTION, f"{value}={empty}")
    assert answer.returncode != 0
    assert "production needs values for:" in answer.stderr
    assert value in answer.stderr


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_all_that_is_missing_is_named_at_once(environment: str) -> None:
    answer = helm("template", PRODUCTION[:1], f"config.environment={environment}")
    assert answer.returncode != 0
    assert f"{environment} needs values for:" in answer.stderr
    assert all(name in answer.stderr for name in REQUIRED)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("config.demoData=true", "config.demoData"),
        ("image.tag=latest", "image.tag"),
        ("secrets.create=true", "secrets.create"),
    ],
)
def test_production_refuses_what_is_for_throw_away_systems(setting: str, complaint: str) -> None:
    answer = helm("template", PRODUCTION, setting)
    assert answer.returncode != 0
    assert complaint in answer.stderr


def test_a_secret_that_is_made_is_complete() -> None:
    answer = helm("template", LOCAL, "secrets.values.jwt-secret=")
    assert answer.returncode != 0
    assert "secrets.values: has no jwt-secret" in answer.stderr


def test_local_stores_need_the_secret_that_says_where_they_are() -> None:
    answer = helm("template", (), "local.redis.enabled=true")
    assert answer.returncode != 0
    assert "local.redis.enabled: needs secrets.create" in answer.stderr


def test_names_follow_the_release() -> None:
    names = {each["metadata"]["name"] for each in render((), 'fullnameOverride="other"').objects}
    assert all(name.startswith("other") for name in names)


def test_the_readme_tells_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    assert not [name for name in _leaves(values_of()) if f"`{name}`" not in readme]


def _leaves(values: Object, prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and key not in ("resources", "labels"):
            yield from _leaves(value, f"{name}.")
        else:
            yield name
