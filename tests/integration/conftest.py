"""The whole system as real processes, after a bit of everything happened to it: for metrics, logs and traces."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest

from service_kit.messaging.port import OutgoingMessage
from service_kit.messaging.rabbitmq import RabbitMessaging
from tests.support.otlp import Collector, collecting
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import System, running
from tests.support.waiting import until, wait_for
from vehicle_simulator.vins import fleet_vins

SERVICES = ("gateway", "command_service", "vehicle_connector")
SLOW_VIN, GARBAGE_VIN = fleet_vins(2, 1)
OFFLINE_VIN = "WBA1122334455FFEE"  # of the demo data


@dataclass
class Observed:
    """What was sent, by what became of it, and where to look."""

    system: System
    collector: Collector
    commands: Mapping[str, dict[str, Any]]

    def metrics(self, service: str) -> str:
        answer = httpx.get(f"http://127.0.0.1:{self.system.metrics_port(service)}/metrics", timeout=10)
        assert answer.status_code == 200
        return answer.text

    def log(self, service: str) -> list[dict[str, Any]]:
        """Every line has to be JSON."""
        lines = self.system.processes[service].output.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def about(self, service: str, event: str, command: str) -> dict[str, Any]:
        """The one line of this event about this command."""
        command_id = self.commands[command]["command_id"]
        (line,) = [
            line for line in self.log(service) if line["event"] == event and line.get("command_id") == command_id
        ]
        return line


def trace_id_of(command: str) -> str:
    return command.encode().hex().ljust(32, "0")


@pytest.fixture(scope="package")
def observed(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Observed]:
    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()  # after a test in which it was away
    redis_server.flush()
    with collecting() as collector:
        system = System(
            postgres_server.new_database(),
            rabbitmq_server.new_vhost(),
            redis_server.url,
            tmp_path_factory.mktemp("observed"),
            vehicles=2,
            settings={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"},
            simulator_settings={
                "FAULTS": f"slow:seconds=2,times=1,vin={SLOW_VIN};garbage:times=1,vin={GARBAGE_VIN},command=ReadDTC"
            },
        )
        with running(system):
            asyncio.run(publish_nonsense(system))
            yield Observed(system, collector, run_commands(system))


def run_commands(system: System) -> dict[str, dict[str, Any]]:
    """One for each thing that may become of a command, all at the same time; as they are in the end."""
    with system.client() as client:
        vehicles = {vehicle["vin"]: vehicle["vehicle_id"] for vehicle in client.get("/api/v1/vehicles").json()["items"]}

        def send(name: str, vin: str, command_name: str, **more: Any) -> str:
            sampled = "00" if name == "unsampled" else "01"
            body = {
                "vehicle_id": vehicles[vin],
                "command_name": command_name,
                "command_params": {"ecuAddress": "0x10"} | more.pop("params", {}),
                **more,
            }
            headers = {"traceparent": f"00-{trace_id_of(name)}-b7ad6b7169203331-{sampled}"}
            answer = client.post("/api/v1/commands", json=body, headers=headers)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["command_id"])

        sent = {
            "expired": send("expired", OFFLINE_VIN, "ReadDTC", expires_in_seconds=1),
            # Its first attempt is cancelled when it has timed out, and the vehicle says so when nobody asks any more.
            "retried": send("retried", SLOW_VIN, "ReadDTC", timeout_seconds=1),
            "broken": send("broken", GARBAGE_VIN, "ReadDTC"),
            "completed": send("completed", GARBAGE_VIN, "ReadDataByID", params={"dataId": "0xF190"}),
            "refused": send("refused", GARBAGE_VIN, "ReadDataByID", params={"dataId": "0xFFFF"}),
            "unsampled": send("unsampled", GARBAGE_VIN, "ReadDTC"),
        }
        return {name: wait_for(partial(ended, client, command_id)) for name, command_id in sent.items()}


def ended(client: httpx.Client, command_id: str) -> dict[str, Any]:
    """Nothing while it has not."""
    command: dict[str, Any] = client.get(f"/api/v1/commands/{command_id}").json()
    return {} if command["status"] in ("pending", "dispatched", "in_progress") else command


async def publish_nonsense(system: System) -> None:
    """To the queue that the connector takes its commands from."""
    connection = await asyncpg.connect(system.database_url)
    connector_id = await connection.fetchval("SELECT connector_id FROM command_service.connectors")
    await connection.close()
    messaging = RabbitMessaging(system.rabbitmq_url)
    await until(lambda: messaging.connected)
    trace = {"traceparent": f"00-{trace_id_of('nonsense')}-b7ad6b7169203331-00"}
    assert await messaging.publish([OutgoingMessage(f"connector.{connector_id}", b"nonsense", "1", trace)]) == [None]
    await messaging.close()
