"""A vehicle with a SOVD server, from its assignment to the connector to the outcome of a command."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from sovd_protos.connector.v1 import connector_pb2 as wire
from tests.integration.sovd.bench import VIN, address_of, executed, served
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World
from tests.unit.vehicle_connector.fake_command_service import vehicle_id_of
from tests.unit.vehicle_connector.ids import C1, C2
from vehicle_connector.settings import Settings
from vehicle_simulator.sovd.server import SovdServer


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
async def server(ledger: Path) -> AsyncIterator[SovdServer]:
    async with served(ledger=ledger, faults="disconnect:after=1,command=ClearDTC,times=1") as running:
        yield running


async def _assigned(world: World, address: str) -> None:
    vehicle = wire.DialledVehicle(vehicle_id=vehicle_id_of(VIN), vin=VIN, link_kind="sovd", address=address)
    world.service.send(wire.ToConnector(assignments=wire.Assignments(vehicles=[vehicle])))
    await until(lambda: world.service.opened)


async def test_its_commands_run_over_its_own_server(world: World, server: SovdServer) -> None:
    await _assigned(world, address_of(server))
    assert (world.service.opened[0].vin, world.service.opened[0].link_kind) == (VIN, "sovd")
    await world.dispatch.command(C1, VIN)
    await until(lambda: world.service.outcome(C1))
    *faults, outcome = world.service.results(C1)
    assert (len(faults), outcome.outcome.kind) == (3, wire.Outcome.COMPLETED)


async def test_a_change_whose_answer_is_cut_off_is_lost_and_was_done_once(
    world: World, server: SovdServer, ledger: Path
) -> None:
    await _assigned(world, address_of(server))
    await world.dispatch.command(C1, VIN, command_name="ClearDTC", repeatable=False)
    await until(lambda: world.service.outcome(C1))
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert outcome.kind == wire.Outcome.LOST  # of which the command service makes OUTCOME_UNKNOWN
    assert len(executed(ledger, C1)) == 1
    await world.dispatch.command(C2, VIN)
    await until(lambda: world.service.outcome(C2))
    assert world.service.results(C2)[0].response == '{"ecuAddress":"0x10","count":0}'


async def test_a_server_that_goes_away_ends_the_session_and_its_return_begins_another(
    world: World, server: SovdServer
) -> None:
    await _assigned(world, address_of(server))
    port = server.port
    await server.close()
    await world.dispatch.command(C1, VIN)
    await until(lambda: world.service.closed)
    await until(lambda: world.service.outcome(C1))
    outcome = world.service.outcome(C1)
    assert outcome is not None
    assert outcome.kind in (wire.Outcome.NOT_HANDED_OVER, wire.Outcome.LOST)
    async with served(port=port):
        await until(lambda: len(world.service.opened) == 2)


def test_a_client_certificate_needs_its_key() -> None:
    given = {"rabbitmq_url": "amqp://none", "command_service_address": "none:1", "service_token": "x" * 16}
    with pytest.raises(ValidationError, match="SOVD_CERT_FILE, SOVD_KEY_FILE: give both or neither"):
        Settings(**given, vehicle_credential_secret="x" * 16, sovd_cert_file="client.pem")  # type: ignore[arg-type]
