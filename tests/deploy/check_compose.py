"""Part of `make test-deploy`: the whole system as deploy/compose/compose.yaml has it, under the engine.

More than the images need it needs docker compose, which `make test-deploy` builds where it is missing. Images of others
that cannot be pulled are made here of Debian's packages (PostgreSQL, Redis, RabbitMQ, Prometheus) or left out (the
collector, Jaeger, Grafana).
"""

import json

import httpx
import pytest

from tests.deploy.compose_stack import ComposeStack
from tests.deploy.engine import docker
from tests.e2e.test_smoke_tests import smoke
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(1800)


def test_each_starts_once_what_it_needs_is_there(stack: ComposeStack) -> None:
    reached = {"service_healthy": "health_status: healthy", "service_completed_successfully": "die with 0"}
    held = 0
    for name, service in stack.services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] in reached and name not in stack.left_out:
                needed = stack.events.index((other, reached[how["condition"]]))
                assert needed < stack.events.index((name, "start")), (name, other, stack.events)
                held += 1
    assert held >= 8
    assert [event for event in stack.events if event[1].startswith("die")] == [("migrate", "die with 0")]


def test_it_does_what_it_is_for(stack: ComposeStack) -> None:
    # Through nginx, as browsers come; metrics are not for them.
    code, results = smoke(stack.url("web"), METRICS_URL=f"{stack.url('gateway')}/metrics")
    assert set(results.values()) == {"PASS"}, results
    assert (code, len(results)) == (0, 12)


def test_containers_are_confined(stack: ComposeStack) -> None:
    for name, service in stack.services.items():
        if service["image"].startswith("sovd-webapp/"):
            container = json.loads(docker("inspect", stack.container(name)))[0]
            assert container["HostConfig"]["ReadonlyRootfs"] is True, name
            assert container["HostConfig"]["CapDrop"] == ["ALL"], name
            assert container["Config"]["User"] == "10001:10001", name


def test_prometheus_sees_every_service_and_has_the_rules(stack: ComposeStack) -> None:
    with httpx.Client(base_url=stack.url("prometheus")) as prometheus:

        def states() -> set[tuple[str, str]]:
            targets = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
            return {(target["labels"]["job"], target["health"]) for target in targets}

        services = ("gateway", "command-service", "vehicle-connector")
        wait_for(lambda: states() == {(service, "up") for service in services}, 60)
        assert len(prometheus.get("/api/v1/rules").json()["data"]["groups"]) >= 3
