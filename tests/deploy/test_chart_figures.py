"""Names and figures that operators know: they may not change unnoticed."""

import pytest

from tests.deploy.chart import PRODUCTION, Rendered, render, values_of

PRODUCTION_FIGURES = {
    "gateway": (5, 5, 20),
    "command-service": (3, 3, 20),
    "vehicle-connector": (3, 3, 20),
    "web": (3, 3, 8),
}
KEYS = {
    "gateway": "gateway",
    "command-service": "commandService",
    "vehicle-connector": "vehicleConnector",
    "web": "web",
}


@pytest.mark.parametrize("component", PRODUCTION_FIGURES)
def test_production_replicas(production: Rendered, component: str) -> None:
    replicas, fewest, most = PRODUCTION_FIGURES[component]
    scaler = production.get("HorizontalPodAutoscaler", f"sovd-webapp-{component}")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (fewest, most)
    assert scaler["scaleTargetRef"]["name"] == f"sovd-webapp-{component}"
    (metric,) = scaler["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    # The autoscaler decides, not every upgrade anew.
    assert "replicas" not in production.workload(component).manifest["spec"]
    fixed = render(PRODUCTION, f"{KEYS[component]}.autoscaling.enabled=false")
    assert fixed.workload(component).manifest["spec"]["replicas"] == replicas


@pytest.mark.parametrize("component", ["gateway", "command-service", "vehicle-connector"])
def test_scales_from_3_to_20(component: str) -> None:
    scaler = render().get("HorizontalPodAutoscaler", f"sovd-webapp-{component}")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 20)


@pytest.mark.parametrize(
    ("component", "requests", "limits"),
    [
        ("gateway", {"cpu": "500m", "memory": "512Mi"}, {"cpu": "1000m", "memory": "1Gi"}),
        ("web", {"cpu": "200m", "memory": "128Mi"}, {"cpu": "400m", "memory": "256Mi"}),
    ],
)
def test_production_resources(
    production: Rendered, component: str, requests: dict[str, str], limits: dict[str, str]
) -> None:
    assert production.workload(component).container["resources"] == {"requests": requests, "limits": limits}


def test_the_secret_and_its_keys(production: Rendered) -> None:
    environment = production.workload("gateway").environment(production)
    assert environment["DATABASE_URL"] == "secret sovd-webapp-secrets/database-url"
    assert environment["JWT_SECRET"] == "secret sovd-webapp-secrets/jwt-secret"
    assert environment["REDIS_URL"] == "secret sovd-webapp-secrets/redis-url"
    connector = production.workload("vehicle-connector").environment(production)
    assert connector["RABBITMQ_URL"] == "secret sovd-webapp-secrets/rabbitmq-url"


def test_secrets_are_rotated_with_what_still_verifies(production: Rendered) -> None:
    environment = production.workload("gateway").environment(production)
    assert environment["JWT_PREVIOUS_SECRETS"] == "secret sovd-webapp-secrets/jwt-previous-secrets optional"
    environment = production.workload("command-service").environment(production)
    assert environment["SERVICE_PREVIOUS_TOKENS"] == "secret sovd-webapp-secrets/service-previous-tokens optional"


def test_values_have_their_names() -> None:
    values = values_of()
    assert {"host", "port", "name", "user"} <= set(values["config"]["database"])
    assert {"host", "port"} <= set(values["config"]["redis"])
    for component in ("vehicleConnector", "externalSecrets", "ingress"):
        assert isinstance(values[component]["enabled"], bool)


def test_images_have_their_names(production: Rendered) -> None:
    registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    for component in PRODUCTION_FIGURES:
        image = production.workload(component).container["image"]
        assert image == f"{registry}/sovd-webapp/{component}:1.2.3"


def test_ports_to_forward(local: Rendered) -> None:
    assert [port["port"] for port in local.get("Service", "sovd-webapp-web")["spec"]["ports"]] == [80]
    assert local.get("Service", "sovd-webapp-grafana")["spec"]["ports"][0]["port"] == 80
    assert local.get("Service", "sovd-webapp-gateway")["spec"]["ports"][0]["port"] == 8000
