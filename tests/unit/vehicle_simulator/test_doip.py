"""The simulator's DoIP entities and UDS servers, asked by clients that know nothing of it: doipclient and udsoncan."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
import udsoncan
from doipclient import messages
from doipclient.client import DoIPClient
from doipclient.connectors import DoIPClientUDSConnector
from pydantic import SecretStr
from udsoncan.client import Client
from udsoncan.exceptions import NegativeResponseException, TimeoutException
from udsoncan.services.DiagnosticSessionControl import DiagnosticSessionControl
from udsoncan.services.ECUReset import ECUReset

from tests.support.local_servers import free_port
from tests.support.waiting import until
from vehicle_simulator.composition import build_fleet
from vehicle_simulator.doip.entity import LOGICAL_ADDRESS, DoipEntity
from vehicle_simulator.doip.uds import UdsServers, key_of
from vehicle_simulator.ecus import VehicleModel, VehicleSpec
from vehicle_simulator.faults import FaultScript, parse_fault
from vehicle_simulator.settings import Settings

VIN = "WDD1234567890ABCD"
Answer = TypeVar("Answer")


class Bytes(udsoncan.DidCodec):
    def encode(self, *values: Any) -> bytes:
        return bytes(values[0])

    def decode(self, string_bin: bytes) -> Any:
        return string_bin

    def __len__(self) -> int:
        raise udsoncan.DidCodec.ReadAllRemainingData


CONFIG: Any = {
    "data_identifiers": {"default": Bytes},
    "exception_on_negative_response": True,
    "request_timeout": 3,
    "p2_timeout": 2,
    "use_server_timing": False,
    "security_algo": lambda level, seed, params: key_of(seed),
}


Script = Callable[[str], None]


@pytest.fixture
def faults() -> FaultScript:
    return FaultScript()


@pytest.fixture
def script(faults: FaultScript) -> Script:
    return lambda text: faults.add(parse_fault(text))


@pytest.fixture
async def entity(faults: FaultScript) -> AsyncIterator[DoipEntity]:
    made = DoipEntity(VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), faults)
    await made.start("127.0.0.1", 0)
    yield made
    await made.stop()


@contextlib.contextmanager
def doip_client(port: int, ecu: int = 0x10, **options: Any) -> Iterator[DoIPClient]:
    client = DoIPClient("127.0.0.1", ecu, tcp_port=port, udp_port=port, **options)  # type: ignore[no-untyped-call]
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]


async def ask(entity: DoipEntity, question: Callable[[Client], Answer], ecu: int = 0x10) -> Answer:
    """Of udsoncan's own client, in a thread: it waits."""

    def asked() -> Answer:
        with doip_client(entity.port, ecu) as doip, Client(DoIPClientUDSConnector(doip), config=CONFIG) as client:  # type: ignore[no-untyped-call]
            return question(client)

    return await asyncio.to_thread(asked)


async def extended(entity: DoipEntity, question: Callable[[Client], Answer]) -> Answer:
    def in_session(client: Client) -> Answer:
        client.change_session(DiagnosticSessionControl.Session.extendedDiagnosticSession)
        return question(client)

    return await ask(entity, in_session)


def impatiently_clear(client: Client) -> None:
    client.set_config("request_timeout", 0.2)
    client.clear_dtc()


# --- DoIP


async def test_it_identifies_itself_by_udp(entity: DoipEntity) -> None:
    def identify() -> Any:
        with doip_client(entity.port) as client:
            anybody = client.request_vehicle_identification()  # type: ignore[no-untyped-call]
            client.request_vehicle_identification(vin=VIN)  # type: ignore[no-untyped-call]
            client.request_vehicle_identification(eid=anybody.eid)  # type: ignore[no-untyped-call]
            return anybody, client.request_entity_status(), client.request_diagnostic_power_mode()  # type: ignore[no-untyped-call]

    identification, status, power = await asyncio.to_thread(identify)
    assert (identification.vin, identification.logical_address) == (VIN, LOGICAL_ADDRESS)
    assert (status.node_type, status.currently_open_sockets) == (0, 1)
    assert power.diagnostic_power_mode == messages.DiagnosticPowerModeResponse.DiagnosticPowerMode.Ready


async def test_it_announces_itself_at_its_start() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        entity = DoipEntity(
            VIN, UdsServers(VehicleModel(VehicleSpec(VIN))), FaultScript(), announce_to=listener.getsockname()
        )
        await entity.start("127.0.0.1", 0)
        address, heard = await asyncio.to_thread(DoIPClient.await_vehicle_announcement, timeout=2, sock=listener)
        await entity.stop()
    assert (address[1], heard.vin) == (entity.port, VIN)


@pytest.mark.parametrize(
    ("source", "kind", "code"),
    [(0x0100, 0, "DeniedUnknownSourceAddress"), (0x0E00, 5, "DeniedUnsupportedActivationType")],
)
async def test_routing_is_not_activated_for_everybody(entity: DoipEntity, source: int, kind: int, code: str) -> None:
    def activate() -> Any:
        # Refused in its constructor, the library leaves its sockets open.
        with doip_client(entity.port, client_logical_address=source, activation_type=None) as client:
            return client.request_activation(kind).response_code  # type: ignore[no-untyped-call]

    assert (await asyncio.to_thread(activate)).name == code


@pytest.mark.parametrize(("alive", "code"), [(True, "DeniedSARegistered"), (False, "Success")])
async def test_a_tester_that_is_alive_keeps_its_place_and_one_that_is_gone_loses_it(
    entity: DoipEntity, alive: bool, code: str
) -> None:
    def second() -> Any:
        with doip_client(entity.port) as first, doip_client(entity.port, activation_type=None) as client:
            reading = asyncio.run_coroutine_threadsafe(asyncio.to_thread(_read, first, alive), loop)
            try:
                return client.request_activation(0).response_code  # type: ignore[no-untyped-call]
            finally:
                reading.result()

    loop = asyncio.get_running_loop()
    assert (await asyncio.to_thread(second)).name == code


def _read(client: DoIPClient, answers: bool) -> None:
    """doipclient answers an alive check while it reads."""
    with contextlib.suppress(TimeoutError):
        client.read_doip(timeout=1 if answers else -1)  # type: ignore[no-untyped-call]


async def test_nonsense_is_refused_and_the_connection_ends(entity: DoipEntity) -> None:
    for sent, code in (
        (b"\x02\xfe\x80\x01\x00\x00\x00\x05\x0e\x00\x00\x10\x3e", None),  # not activated
        (b"\x02\x02\x00\x05\x00\x00\x00\x07", 0x00),
        (b"\x02\xfd\x00\x05\x00\x00\x00\x01\x00", 0x04),
        (b"\x02\xfd\x00\x05\xff\xff\xff\xff", 0x02),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", entity.port)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer[2:4] == b"\x00\x00"
        assert code is None or answer[8] == code


async def test_an_ecu_that_is_not_there_is_said_to_be_unknown(entity: DoipEntity) -> None:
    with pytest.raises(OSError, match="code: 3"):
        await ask(entity, lambda client: client.tester_present(), ecu=0x99)


# --- UDS


async def test_fault_memory_snapshots_and_extended_data(entity: DoipEntity) -> None:
    def read(client: Client) -> Any:
        found = client.get_dtc_by_status_mask(0xFF)
        count = client.get_number_of_dtc_by_status_mask(0xFF)
        return found, count, client.get_dtc_extended_data_by_dtc_number(0x042011, 1, data_size=1)

    found, count, extended_data = await ask(entity, read)
    assert [dtc.id for dtc in found.service_data.dtcs] == [0x042011, 0x017100]
    assert found.service_data.dtcs[0].status.get_byte_as_int() == 0xAF
    assert count.service_data.dtc_count == 2
    assert extended_data.service_data.dtcs[0].extended_data[0].record_number == 1


async def test_clearing_one_and_all(entity: DoipEntity) -> None:
    await ask(entity, lambda client: client.clear_dtc(0x042011))
    left = await ask(entity, lambda client: client.get_dtc_by_status_mask(0xFF))
    assert left is not None
    assert [dtc.id for dtc in left.service_data.dtcs] == [0x017100]
    await ask(entity, lambda client: client.clear_dtc())
    left = await ask(entity, lambda client: client.get_supported_dtc())
    assert left is not None
    assert left.service_data.dtcs == []


async def test_data_is_read_and_written_in_an_extended_session(entity: DoipEntity) -> None:
    read = await ask(entity, lambda client: client.read_data_by_identifier([0xF190]))
    assert read is not None
    assert read.service_data.values[0xF190] == VIN.encode()
    with pytest.raises(NegativeResponseException, match="NotSupportedInActiveSession"):
        await ask(entity, lambda client: client.write_data_by_identifier(0xF198, b"SHOP"))
    await extended(entity, lambda client: client.write_data_by_identifier(0xF198, b"SHOP"))
    again = await ask(entity, lambda client: client.read_data_by_identifier([0xF198]))
    assert again is not None
    assert again.service_data.values[0xF198] == b"SHOP"


async def test_security_access_unlocks_what_is_secured(entity: DoipEntity) -> None:
    with pytest.raises(NegativeResponseException, match="SecurityAccessDenied"):
        await extended(entity, lambda client: client.write_data_by_identifier(0xF199, bytes(4)))

    def unlocked(client: Client) -> Any:
        client.unlock_security_access(1)
        client.unlock_security_access(1)  # is unlocked already: a seed of zeros
        return client.write_data_by_identifier(0xF199, bytes(4))

    assert (await extended(entity, unlocked)).positive
    with pytest.raises(NegativeResponseException, match="InvalidKey"):
        await extended(entity, lambda client: (client.request_seed(1), client.send_key(1, b"1234")))


async def test_routines_and_reset(entity: DoipEntity) -> None:
    started = await extended(entity, lambda client: client.start_routine(0x0301))
    assert started is not None
    assert started.service_data.routine_status_record == b"\x01"
    with pytest.raises(NegativeResponseException, match="ConditionsNotCorrect"):
        await extended(entity, lambda client: client.start_routine(0xFF00))
    reset = await ask(entity, lambda client: client.ecu_reset(ECUReset.ResetType.hardReset))
    assert reset is not None
    with pytest.raises(NegativeResponseException, match="RequestSequenceError"):
        await extended(entity, lambda client: client.get_routine_result(0x0301))


@pytest.mark.parametrize(
    ("request_", "nrc"),
    [("", 0x11), ("99", 0x11), ("22", 0x13), ("22F1", 0x13), ("221234", 0x31), ("1907FF", 0x12), ("14FFFF", 0x13)],
)
def test_what_makes_no_sense_is_refused(request_: str, nrc: int) -> None:
    answer = UdsServers(VehicleModel(VehicleSpec(VIN))).answer(0x10, bytes.fromhex(request_), 0.0)
    assert answer is not None
    assert (answer[0], answer[2]) == (0x7F, nrc)


def test_a_session_ends_five_seconds_after_the_last_request() -> None:
    servers = UdsServers(VehicleModel(VehicleSpec(VIN)))
    assert servers.answer(0x10, b"\x10\x03", 0.0) == bytes.fromhex("5003003201F4")
    assert servers.answer(0x10, b"\x3e\x80", 4.0) is None
    assert servers.answer(0x10, b"\x22\xf1\x86", 8.0) == bytes.fromhex("62F18603")
    assert servers.answer(0x10, b"\x22\xf1\x86", 13.5) == bytes.fromhex("62F18601")


def test_to_all_ecus_some_refusals_are_not_said() -> None:
    servers = UdsServers(VehicleModel(VehicleSpec(VIN)))
    answers = {
        address: servers.answer(address, b"\x22\xf4\x05", 0.0, functional=True) for address in servers.addresses()
    }
    assert [address for address, answer in answers.items() if answer] == [0x10]


# --- faults


async def test_pending_then_the_answer(entity: DoipEntity, script: Script) -> None:
    script("pending:pending=2,seconds=0.05,command=ReadDTC")
    pendings = 0

    def heard() -> None:
        nonlocal pendings
        pendings += 1

    def read(client: Client) -> Any:
        client.set_config("nrc78_callback", heard)
        return client.get_dtc_by_status_mask(0xFF)

    assert (await ask(entity, read)).service_data.dtc_count == 2
    assert pendings == 2


async def test_refused_after_pending(entity: DoipEntity, script: Script) -> None:
    script("negative:nrc=0x22,pending=1,seconds=0.05,command=ClearDTC")
    with pytest.raises(NegativeResponseException, match="ConditionsNotCorrect"):
        await ask(entity, lambda client: client.clear_dtc())


async def test_silent_does_nothing(entity: DoipEntity, script: Script) -> None:
    script("silent:times=1,command=ClearDTC")
    with pytest.raises(TimeoutException):
        await ask(entity, impatiently_clear)
    left = await ask(entity, lambda client: client.get_dtc_by_status_mask(0xFF))
    assert left is not None
    assert left.service_data.dtc_count == 2


async def test_the_answer_to_a_connection_that_broke_goes_to_the_next_one(entity: DoipEntity, script: Script) -> None:
    script("slow:seconds=0.5,times=1")
    frames: list[bytes] = []

    def broken() -> None:
        with doip_client(entity.port) as client:
            client.send_diagnostic(b"\x22\xf1\x90")  # type: ignore[no-untyped-call]
        with doip_client(entity.port) as client:
            frames.append(bytes(client.receive_diagnostic(timeout=3)))  # type: ignore[no-untyped-call]

    await asyncio.to_thread(broken)
    assert frames == [b"\x62\xf1\x90" + VIN.encode()]


async def test_a_crash_takes_it_away_and_it_comes_back_on_its_port(entity: DoipEntity, script: Script) -> None:
    script("crash:after=0,seconds=0.2,command=ClearDTC,times=1")
    with pytest.raises((TimeoutException, OSError)):
        await ask(entity, impatiently_clear)
    await asyncio.sleep(0.4)
    left = await ask(entity, lambda client: client.get_dtc_by_status_mask(0xFF))
    assert left is not None
    assert left.service_data.dtc_count == 0


async def test_duplicates_and_garbage_reach_the_client(entity: DoipEntity, script: Script) -> None:
    script("duplicate:times=1")
    script("garbage:times=1")

    def frames() -> list[bytes]:
        with doip_client(entity.port) as client:
            client.send_diagnostic(struct.pack("!BH", 0x22, 0xF190))  # type: ignore[no-untyped-call]
            return [bytes(client.receive_diagnostic(timeout=2)) for _ in range(2)]  # type: ignore[no-untyped-call]

    assert await asyncio.to_thread(frames) == [bytes.fromhex("00BADBAD"), b"\x62\xf1\x90" + VIN.encode()]


# --- the fleet


async def test_a_fleet_that_only_waits_to_be_dialled() -> None:
    settings = Settings(
        vehicle_credential_secret=SecretStr("a secret that nobody asks for"),
        vehicles=2,
        dial_in=False,
        doip_port=0,
        doip_host="127.0.0.1",
        doip_announce_to=f"127.0.0.1:{free_port()}",
    )
    fleet = build_fleet(settings)
    running = asyncio.create_task(fleet.run())
    entities = [entity for vehicle in fleet.vehicles.values() if (entity := vehicle.doip)]
    await until(lambda: all(entity.port for entity in entities))
    for entity in entities:
        read = await ask(entity, lambda client: client.read_data_by_identifier([0xF190]))
        assert read is not None
        assert read.service_data.values[0xF190] == entity.vin.encode()
    assert fleet.connected_count == 0
    running.cancel()
    await fleet.close()
    assert [entity.connections for entity in entities] == [0, 0]
