"""Every workload: probes, resources, restricted pods, no tokens, room to drain, and no outage while it changes."""

import pytest

from gateway.settings import GatewaySettings
from service_kit.lifecycle import CLOSE_SECONDS
from tests.deploy.chart import LOCAL, PRODUCTION, VALUE_FILES, Rendered, Workload, helm, render, values_of

SERVICES = {
    "gateway": "gateway",
    "command-service": "commandService",
    "vehicle-connector": "vehicleConnector",
    "web": "web",
}


def services(chart: Rendered) -> list[Workload]:
    return [each for each in chart.workloads if each.component in SERVICES]


def test_all_are_there(chart: Rendered, local: Rendered) -> None:
    assert {*SERVICES, "migrations", "smoke-test"} <= {each.component for each in chart.workloads}
    assert {"postgresql", "redis", "rabbitmq", "monitoring"} <= {each.component for each in local.workloads}
    assert local.workload("vehicle-connector").simulator


def test_pods_are_restricted(chart: Rendered) -> None:
    """The pod security standard "restricted", and a root file system that nobody writes to."""
    for workload in chart.workloads:
        pod = workload.pod["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] > 0
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(workload.pod)
        assert all("hostPath" not in volume for volume in workload.pod.get("volumes", []))
        for container in workload.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


def test_images_of_this_project_run_as_their_user(chart: Rendered) -> None:
    for workload in chart.workloads:
        if "/sovd-webapp/" in f"/{workload.containers[0]['image']}":
            assert workload.pod["securityContext"]["runAsUser"] == 10001


def test_no_pod_has_a_token(chart: Rendered) -> None:
    for workload in chart.workloads:
        assert workload.pod["automountServiceAccountToken"] is False
        assert workload.pod["enableServiceLinks"] is False
    assert all(each["automountServiceAccountToken"] is False for each in chart.of_kind("ServiceAccount"))


def test_every_container_has_requests_and_limits(chart: Rendered) -> None:
    for workload in chart.workloads:
        for container in workload.containers:
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) == {"cpu", "memory"}, workload.component


def test_what_runs_on_is_probed(chart: Rendered) -> None:
    for workload in chart.workloads:
        if workload.kind in ("Deployment", "StatefulSet"):
            for container in workload.containers:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), workload.component


def test_a_dependency_that_is_away_restarts_nobody(chart: Rendered) -> None:
    gateway = chart.workload("gateway").container
    assert gateway["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    for component, port in (("command-service", 50051), ("vehicle-connector", 50054)):
        container = chart.workload(component).container
        assert container["livenessProbe"]["grpc"] == {"port": port, "service": "live"}
        assert container["readinessProbe"]["grpc"] == {"port": port}


@pytest.mark.parametrize("name", VALUE_FILES)
def test_pods_have_time_to_drain(name: str, request: pytest.FixtureRequest) -> None:
    chart, values = render(VALUE_FILES[name]), values_of(*VALUE_FILES[name])
    for workload in services(chart):
        value = values[SERVICES[workload.component]]
        assert workload.container["lifecycle"]["preStop"] == {"sleep": {"seconds": value["preStopSeconds"]}}
        needed = value["preStopSeconds"] + value["drainSeconds"] + 2 * CLOSE_SECONDS
        assert workload.pod["terminationGracePeriodSeconds"] > needed
        if workload.component != "web":
            assert workload.environment(chart)["DRAIN_SECONDS"] == str(value["drainSeconds"])


def test_production_drains_longer_than_services_do_by_themselves(production: Rendered) -> None:
    default = GatewaySettings.model_fields["drain_seconds"].default
    for workload in services(production):
        if workload.component != "web":
            assert int(workload.environment(production)["DRAIN_SECONDS"]) > default


def test_a_rolling_update_takes_nobody_away(chart: Rendered) -> None:
    for workload in services(chart):
        if "simulator" not in {container["name"] for container in workload.containers}:
            assert workload.manifest["spec"]["strategy"] == {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            }


def test_simulated_vehicles_are_there_once(local: Rendered) -> None:
    """In two pods they would take each other's sessions."""
    spec = local.workload("vehicle-connector").manifest["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    for setting in ("replicas=2", "autoscaling.enabled=true", "enabled=false"):
        answer = helm("template", LOCAL, f"vehicleConnector.{setting}")
        assert "local.simulator.enabled: they are in the connector's pod" in answer.stderr


def test_pods_are_spread_over_zones_and_nodes(chart: Rendered) -> None:
    for workload in services(chart):
        spread = workload.pod["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        for each in spread:
            assert each["labelSelector"]["matchLabels"].items() <= workload.labels.items()


def test_evictions_leave_all_but_one(chart: Rendered) -> None:
    for workload in services(chart):
        budget = chart.get("PodDisruptionBudget", workload.manifest["metadata"]["name"])["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"].items() <= workload.labels.items()


def test_new_configuration_makes_new_pods() -> None:
    def checksums(*settings: str) -> list[str]:
        pod = render(LOCAL, *settings).workload("gateway").manifest["spec"]["template"]
        return [pod["metadata"]["annotations"][name] for name in ("checksum/config", "checksum/secret")]

    before = checksums()
    assert checksums('config.logLevel="DEBUG"')[0] != before[0]
    assert checksums('local.postgresql.password="other"')[1] != before[1]


@pytest.mark.parametrize("upgrade", [False, True])
def test_migrations_come_before_the_pods(upgrade: bool) -> None:
    chart = render(PRODUCTION, upgrade=upgrade)
    (job,) = chart.of_kind("Job")
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-weight": "-5",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    assert job["spec"]["backoffLimit"] == 3
    assert job["spec"]["activeDeadlineSeconds"] == 600
    migrations = chart.workload("migrations")
    assert [each["args"] for each in migrations.containers] == [
        ["migrate", "gateway", "--wait", "300"],
        ["migrate", "command-service", "--wait", "300"],
    ]
    assert [each["image"].rpartition("/")[2] for each in migrations.containers] == [
        "gateway:1.2.3",
        "command-service:1.2.3",
    ]


def test_what_migrations_need_is_there_before_them(production: Rendered) -> None:
    """Hooks run before anything of the release exists: what the Job refers to are hooks too, and come first."""
    migrations = production.workload("migrations")
    key = migrations.container["env"][0]["valueFrom"]["secretKeyRef"]
    external = production.get("ExternalSecret", "sovd-webapp-migrations")
    assert external["spec"]["target"]["name"] == key["name"]
    store = production.get("SecretStore", external["spec"]["secretStoreRef"]["name"])
    account = store["spec"]["provider"]["aws"]["auth"]["jwt"]["serviceAccountRef"]["name"]
    first = [
        external,
        store,
        production.get("ServiceAccount", account),
        production.get("ServiceAccount", migrations.pod["serviceAccountName"]),
    ]
    for each in first:
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) < -5


def test_a_database_of_the_release_itself_is_migrated_beside_the_pods(local: Rendered) -> None:
    (job,) = local.of_kind("Job")
    assert "annotations" not in job["metadata"]
    later = render(LOCAL, upgrade=True)
    (job,) = later.of_kind("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # The Secret of the release is still the one before.
    own = later.get("Secret", later.workload("migrations").container["env"][0]["valueFrom"]["secretKeyRef"]["name"])
    assert own["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert own["stringData"] == later.get("Secret", "sovd-webapp-secrets")["stringData"]
