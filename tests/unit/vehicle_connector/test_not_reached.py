"""A vehicle that is dialled in vain: the command service learns why, once for each reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sovd_protos.connector.v1 import connector_pb2 as wire
from tests.support.local_servers import free_port
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World, Worlds
from tests.unit.vehicle_connector.fake_command_service import vehicle_id_of
from vehicle_connector.vehicle_response import clean_reason
from vehicle_links.sovd.link import SovdDialler
from vehicle_simulator.doip.entity import DoipEntity
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript

VIN = "WDD1234567890ABCD"


@pytest.fixture
async def impatient(worlds: Worlds) -> AsyncIterator[World]:
    async with worlds(redial_max_seconds=0.05) as made:
        yield made


@asynccontextmanager
async def _hanging_up(port: int, tries: list[None]) -> AsyncIterator[None]:
    """Takes each connection, and ends it."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(None)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        yield


def _assign(world: World, kind: str, address: str) -> None:
    world.service.assign(wire.DialledVehicle(vehicle_id=vehicle_id_of(VIN), vin=VIN, link_kind=kind, address=address))


def _reasons(world: World) -> list[str]:
    return [report.reason for report in world.service.not_reached]


async def test_each_new_reason_is_told_and_no_repeat_of_it(impatient: World) -> None:
    world, port, tries = impatient, free_port(), list[None]()
    _assign(world, "sovd", f"http://127.0.0.1:{port}/{VIN}")
    await until(lambda: world.service.not_reached)
    async with _hanging_up(port, tries):
        await until(lambda: len(tries) >= 5)
    assert {report.vehicle_id for report in world.service.not_reached} == {vehicle_id_of(VIN)}
    refused, ended = _reasons(world)[:2]
    assert refused != ended
    assert len(_reasons(world)) <= 3  # the last one when nobody listened any more


async def test_what_may_have_been_lost_with_a_stream_is_told_on_the_next_one(impatient: World) -> None:
    service = impatient.service
    _assign(impatient, "carrier-pigeon", "the loft")
    await until(lambda: service.not_reached)
    service.end_stream()
    await until(lambda: len(service.registrations) == 2 and len(service.not_reached) == 2)
    assert _reasons(impatient) == ["this connector has no link of the kind 'carrier-pigeon'"] * 2


async def test_once_reached_the_same_reason_is_news_again(impatient: World) -> None:
    port = free_port()
    _assign(impatient, "doip", f"127.0.0.1:{port}")
    await until(lambda: impatient.service.not_reached)
    (first,) = _reasons(impatient)
    entity = DoipEntity(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript())
    await entity.start("127.0.0.1", port)
    await until(lambda: impatient.service.opened)
    await entity.stop()
    await until(lambda: impatient.service.closed)
    await until(lambda: _reasons(impatient)[1:].count(first) == 1)


async def test_a_link_that_fails_itself_says_where_to_look(impatient: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dial(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(SovdDialler, "dial", dial)
    _assign(impatient, "sovd", "http://192.0.2.7")
    await until(lambda: impatient.service.not_reached)
    assert _reasons(impatient) == ["dialling it failed; the connector's log says why"]


async def test_what_is_not_assigned_any_more_is_not_told_of(impatient: World) -> None:
    service = impatient.service
    _assign(impatient, "carrier-pigeon", "the loft")
    await until(lambda: service.not_reached)
    service.assign()
    service.end_stream()
    await until(lambda: len(service.registrations) == 2 and len(service.renewals) >= 3)
    assert len(service.not_reached) == 1


def test_a_reason_is_one_short_line_that_can_be_sent_and_stored() -> None:
    assert clean_reason("another vehicle answers:\r\n\tWDD \x00\ud800") == "another vehicle answers: WDD \ufffd?"
    assert clean_reason("x" * 1000) == "x" * 200
