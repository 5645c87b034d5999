"""DoIP messages that make no sense, addresses that are none, and who is found by UDP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.local_servers import free_port
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import Worlds
from tests.unit.vehicle_links.doip.conftest import VIN, bench_of
from vehicle_connector.settings import Settings
from vehicle_links.dialled import DialledVehicle, Unreachable
from vehicle_links.doip import identification
from vehicle_links.doip import messages as doip
from vehicle_links.doip.ecu import is_answer, is_pending, is_refusal
from vehicle_links.doip.entity import connect
from vehicle_links.doip.identification import discover, identify
from vehicle_links.doip.link import DoipAddress, DoipDialler, parse_address
from vehicle_links.doip.security import load_function
from vehicle_simulator.doip.entity import LOGICAL_ADDRESS, DoipEntity
from vehicle_simulator.doip.uds import UdsServers
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript

KNOWN_TYPES = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 0x4001, 0x4002, 0x4003, 0x4004, 0x8001, 0x8002, 0x8003])


@given(st.one_of(KNOWN_TYPES, st.integers(0, 0xFFFF)), st.binary(max_size=64))
def test_any_payload_is_a_message_or_refused(payload_type: int, payload: bytes) -> None:
    refused = ""
    try:
        doip.parse(payload_type, payload)
    except doip.BadMessage as error:
        refused = str(error)
    assert not refused or payload.hex().upper() in refused


@given(st.binary(max_size=64))
def test_any_datagram_is_a_message_or_refused(data: bytes) -> None:
    try:
        message = doip.parse_datagram(data)
    except doip.BadMessage:
        return
    assert message is None or data[0] ^ 0xFF == data[1]


@given(st.binary(max_size=8), st.binary(min_size=1, max_size=8))
def test_any_answer_can_be_looked_at(answer: bytes, request_: bytes) -> None:
    kinds = [is_refusal(answer, request_), request_[0] < 0xBF and is_answer(answer, request_)]
    assert sum(kinds) <= 1
    assert not is_pending(answer, request_) or kinds[0]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.10", DoipAddress("192.0.2.10", 13400, 0x0E00)),
        ("bench.local:13401", DoipAddress("bench.local", 13401, 0x0E00)),
        ("[2001:db8::7]:13400", DoipAddress("2001:db8::7", 13400, 0x0E00)),
        ("192.0.2.10?source=0x0E80&activation=1", DoipAddress("192.0.2.10", 13400, 0x0E80, 1)),
        ("discover", DoipAddress("255.255.255.255", 13400, 0x0E00, discover=True)),
        ("discover:192.0.2.255:13401", DoipAddress("192.0.2.255", 13401, 0x0E00, discover=True)),
    ],
)
def test_addresses(text: str, address: DoipAddress) -> None:
    assert parse_address(text, 0x0E00) == address


@pytest.mark.parametrize(
    "text", ["", "host:port", "host:0", "host:65536", "2001:db8::7", "host?x=1", "host?source=tea"]
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|none of"):
        parse_address(text, 0x0E00)


# --- UDP


@pytest.fixture
async def entity() -> AsyncIterator[DoipEntity]:
    made = DoipEntity(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript())
    await made.start("127.0.0.1", 0)
    yield made
    await made.stop()


def vehicle(address: str) -> DialledVehicle:
    return DialledVehicle("id", VIN, "doip", address)


async def test_an_entity_says_who_it_is(entity: DoipEntity) -> None:
    found = await identify("127.0.0.1", entity.port)
    assert found is not None
    assert (found.vin, found.logical_address, found.host) == (VIN, LOGICAL_ADDRESS, "127.0.0.1")
    assert await identify("127.0.0.1", free_port()) is None


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "discover:127.0.0.1:{port}"])
async def test_an_entity_of_a_newer_edition_is_spoken_to_in_its_own(address: str) -> None:
    entity = DoipEntity(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript(), versions=(0x03,))
    await entity.start("127.0.0.1", 0)
    connection = await DoipDialler(0x0E00).dial(vehicle(address.format(port=entity.port)))
    assert entity.connections == 1
    await connection.close()
    with pytest.raises(Unreachable):
        await connect("127.0.0.1", entity.port, 0x0E00, 0)
    await entity.stop()


async def test_a_vehicle_is_found_by_its_vin(entity: DoipEntity) -> None:
    connection = await DoipDialler(0x0E00).dial(vehicle(f"discover:127.0.0.1:{entity.port}"))
    assert entity.connections == 1
    await connection.close()


async def test_another_vehicle_that_answers_to_its_vin_is_not_listened_to(
    entity: DoipEntity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some entities answer to any identification request."""
    own, answer = entity.identification, entity.answer_datagram
    others = own.replace(VIN.encode(), b"WDD0987654321ZYXW"), own.replace(VIN.encode(), bytes(17))
    answers = iter((*others, own))
    monkeypatch.setattr(identification, "_TRY_SECONDS", 0.3)
    monkeypatch.setattr(entity, "answer_datagram", lambda data: answer(data) and next(answers))
    found = await discover(VIN, "127.0.0.1", entity.port)
    assert found is not None
    assert found.vin == VIN


async def test_a_vehicle_that_is_not_found_is_not_dialled(entity: DoipEntity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identification, "_TRY_SECONDS", 0.05)
    other = DialledVehicle("id", "WDD0987654321ZYXW", "doip", f"discover:127.0.0.1:{entity.port}")
    with pytest.raises(Unreachable, match="no vehicle with this VIN"):
        await DoipDialler(0x0E00).dial(other)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("no address", "Name|name|Temporary|nodename"),
        ("127.0.0.1:{free}", "refused|Connect call failed"),
        ("127.0.0.1:{port}?source=0x0100", "DeniedUnknownSourceAddress"),
        ("127.0.0.1:{port}?activation=9", "DeniedUnsupportedActivationType"),
        ("127.0.0.1:{port}?activation=x", "none of"),
    ],
)
async def test_why_a_vehicle_cannot_be_dialled(entity: DoipEntity, address: str, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason):
        await DoipDialler(0x0E00).dial(vehicle(address.format(free=free_port(), port=entity.port)))


async def test_whoever_speaks_another_protocol_is_not_a_vehicle() -> None:
    ended = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ready\r\n")
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="no DoIP header"):
            await DoipDialler(0x0E00).dial(vehicle(f"127.0.0.1:{port}"))
        await asyncio.wait_for(ended.wait(), 5)


async def test_an_announcement_hurries_the_next_try(worlds: Worlds) -> None:
    port = free_port()
    settings = {"doip_announcement_port": port, "redial_max_seconds": 30}
    async with bench_of(worlds, settings) as bench:
        await bench.entity.stop()
        await until(lambda: bench.world.service.closed)
        await asyncio.sleep(0.1)
        bench.entity.announce_to = ("127.0.0.1", port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            noise.sendto(b"no DoIP at all", ("127.0.0.1", port))
        await bench.entity.start("127.0.0.1", bench.entity.port)
        await until(lambda: bench.sessions == 2, 5)


# --- settings


def test_a_function_that_is_not_there_stops_the_start() -> None:
    for name, complaint in [
        ("no colon", "module:function"),
        ("no.such.module:f", "No module"),
        ("math:pie", "no function pie"),
    ]:
        with pytest.raises(ValueError, match=complaint):
            load_function(name)
    assert load_function("math:sqrt")(4) == 2


@pytest.mark.parametrize(("name", "value"), [("doip_seed_key", "math:pie"), ("doip_security_level", 2)])
def test_settings_say_what_is_allowed(name: str, value: object) -> None:
    wanted: dict[str, object] = {
        "rabbitmq_url": "amqp://localhost/",
        "command_service_address": "localhost:1",
        "service_token": "a" * 20,
        "vehicle_credential_secret": "b" * 20,
        name: value,
    }
    with pytest.raises(ValidationError, match=r"odd|no function"):
        Settings(**wanted)  # type: ignore[arg-type]
