"""The session protocol, as the vehicle speaks it."""

import asyncio

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service_kit.logging import configure_logging
from service_kit.tracing import configure_tracing, shutdown_tracing
from service_kit.vehicle_credential import is_vehicle_credential
from sovd_protos.session.v1.session_pb2 import Cancel, Execute, Finished, Refusal
from tests.unit.vehicle_simulator.conftest import SECRET, running_fleet
from tests.unit.vehicle_simulator.fake_connector import FakeConnector, FakeSession
from vehicle_session.session_client import ReconnectPolicy
from vehicle_simulator.ecus import VehicleModel
from vehicle_simulator.fleet import Fleet, demo_fleet, simulated_fleet

VIN = "WDD1234567890ABCD"
STREAM = '{"ecuAddress":"0x10","dataIds":["0xF40C"],"interval_ms":10,"duration_s":%s}'


async def test_hello_says_who_it_is(connector: FakeConnector, fleet: Fleet) -> None:
    hello = (await connector.session()).hello
    assert hello.protocol_version == 1
    assert hello.vin == VIN
    assert is_vehicle_credential(SECRET, VIN, hello.credential)
    assert {(ecu.address, ecu.name) for ecu in hello.ecus} >= {(0x10, "ECM"), (0x18, "TCM"), (0x28, "ABS")}
    assert not hello.held
    assert hello.max_commands > 0


async def test_heartbeats_count_on(connector: FakeConnector) -> None:
    connector.heartbeat_ms = 10
    async with running_fleet(connector):
        session = await connector.session()
        await session.until(lambda seen: sum(message.HasField("heartbeat") for message in seen.messages) >= 3)
        beats = [message.heartbeat.number for message in session.messages if message.HasField("heartbeat")]
        assert beats == list(range(1, len(beats) + 1))


async def test_goodbye_when_it_stops(connector: FakeConnector) -> None:
    async with running_fleet(connector) as fleet:
        session = await connector.session()
        await fleet.wait_connected()
    assert session.messages[-1].goodbye


async def test_updates_are_numbered_and_end_with_the_outcome(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("ReadDTC")
    last = await session.finished()
    assert session.numbers == [1, 2, 3, 4]
    assert last.finished.kind == Finished.COMPLETED
    assert (last.command_id, last.attempt) == ("c1", 1)


async def test_all_that_is_ready_goes_in_one_message(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    executes = [
        Execute(
            command_id=f"c{number}",
            attempt=1,
            command_name="ReadDTC",
            command_params='{"ecuAddress":"0x10"}',
            repeatable=True,
            initial_credit=100,
        )
        for number in range(20)
    ]
    session.send(execute=executes)
    await session.finished(20)
    assert len(session.updates) == 80
    assert len(session.messages) == 1


async def test_no_more_than_the_credit_is_sent(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("ReadDTC", credit=2)
    await session.until(lambda seen: len(seen.updates) == 2)
    session.execute("ReadDataByID", '{"ecuAddress":"0x10","dataId":"0xF190"}', command_id="other")
    await session.finished()
    assert _numbers(session) == [1, 2]
    session.credit(recorded=2, allowed=3)
    await session.until(lambda seen: len(_numbers(seen)) == 3)
    session.credit(recorded=3, allowed=10)
    await session.finished(2)
    assert _numbers(session) == [1, 2, 3, 4]


async def test_a_stream_without_credit_waits_and_loses_nothing(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("StreamDataByID", STREAM % 1, credit=0)
    session.execute("ReadDTC", command_id="beside")
    await session.finished()
    for recorded in range(0, 120, 20):
        session.credit(recorded=recorded, allowed=recorded + 20)
        await session.until(lambda seen, allowed=recorded + 20: len(_numbers(seen)) == min(allowed, 101))  # type: ignore[misc]
    assert _numbers(session) == list(range(1, 102))


def _numbers(session: FakeSession, command_id: str = "c1") -> list[int]:
    return [update.number for update in session.updates if update.command_id == command_id]


async def test_recorded_commands_are_let_go(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("ReadDTC")
    await session.finished()
    assert fleet[VIN].session.executions.held == [("c1", 1)]
    session.credit(recorded=4, allowed=8)
    session.execute("ReadDTC", command_id="c2")
    await session.finished(2)
    assert fleet[VIN].session.executions.held == [("c2", 1)]


async def test_a_closed_command_is_dropped(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("StreamDataByID", STREAM % 60)
    await session.until(lambda seen: len(seen.updates) >= 2)
    session.credit(recorded=2, closed=True)
    session.execute("ReadDTC", command_id="c2")
    await session.finished()
    assert fleet[VIN].session.executions.held == [("c2", 1)]


async def test_resumes_after_a_disconnect_without_loss_or_repeat(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("ReadDTC", credit=3)
    await session.until(lambda seen: len(seen.updates) == 3)
    connector.resume_from(3)  # of the three that were sent two are recorded
    session.close()
    again = await connector.session()
    assert [(held.command_id, held.attempt) for held in again.hello.held] == [("c1", 1)]
    await again.finished()
    assert again.numbers == [3, 4]
    assert session.responses[2] == again.responses[0]


async def test_a_command_runs_on_while_the_vehicle_is_cut_off(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("StreamDataByID", STREAM % 0.5, credit=1000)
    await session.until(lambda seen: len(seen.updates) >= 5)
    connector.resume_from(4)
    session.close()
    again = await connector.session()
    await again.finished()
    assert again.numbers == list(range(4, 52))


async def test_a_command_that_is_not_wanted_is_dropped(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("ReadDTC", credit=1)
    await session.until(lambda seen: len(seen.updates) == 1)
    connector.resume_from(1, wanted=False)
    session.close()
    again = await connector.session()
    again.execute("ReadDTC", command_id="c2")
    await again.finished()
    assert {update.command_id for update in again.updates} == {"c2"}
    assert fleet[VIN].session.executions.held == [("c2", 1)]


async def test_cancel_stops_a_stream(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("StreamDataByID", STREAM % 60, credit=10_000)
    await session.until(lambda seen: len(seen.updates) >= 3)
    session.send(cancel=[Cancel(command_id="c1", attempt=1)])
    last = await session.finished()
    assert last.finished.kind == Finished.CANCELLED
    assert session.numbers == list(range(1, last.number + 1))


async def test_cancel_that_comes_with_the_command(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    execute = Execute(command_id="c1", attempt=1, command_name="ClearDTC", command_params="{}", initial_credit=9)
    session.send(execute=[execute], cancel=[Cancel(command_id="c1", attempt=1)])
    assert (await session.finished()).finished.kind == Finished.CANCELLED
    assert len(fleet[VIN].model.ecu(0x10).memory) == 2


async def test_cancel_after_the_effect_is_too_late(connector: FakeConnector) -> None:
    async with running_fleet(connector, faults="slow:between=0.2") as fleet:
        session = await connector.session()
        session.execute("ClearDTC")
        await session.until(lambda seen: len(seen.updates) == 1)
        session.send(cancel=[Cancel(command_id="c1", attempt=1), Cancel(command_id="unknown", attempt=1)])
        assert (await session.finished()).finished.kind == Finished.COMPLETED
        assert len(fleet[VIN].model.ecu(0x10).memory) == 0


async def test_cancel_before_the_effect_prevents_it(connector: FakeConnector) -> None:
    async with running_fleet(connector, latency_s=60) as fleet:
        session = await connector.session()
        session.execute("ClearDTC")
        session.send(cancel=[Cancel(command_id="c1", attempt=1)])
        assert (await session.finished()).finished.kind == Finished.CANCELLED
        assert len(fleet[VIN].model.ecu(0x10).memory) == 2


async def test_a_second_cancel_changes_nothing(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("StreamDataByID", STREAM % 60)
    for _ in range(2):
        session.send(cancel=[Cancel(command_id="c1", attempt=1)])
    await session.finished()
    session.execute("ReadDTC", command_id="c2")
    await session.finished(2)
    assert sum(update.HasField("finished") for update in session.updates) == 2


async def test_move_reconnects_and_keeps_what_is_held(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.execute("ReadDTC", credit=2)
    await session.until(lambda seen: len(seen.updates) == 2)
    connector.resume_from(3)
    session.send(move_ms=20)
    again = await connector.session()
    await session.end()
    assert [held.command_id for held in again.hello.held] == ["c1"]
    await again.finished()
    assert again.numbers == [3, 4]
    assert connector.peers[0] != connector.peers[1]


async def test_goes_on_here_until_it_is_time_to_move(connector: FakeConnector, fleet: Fleet) -> None:
    session = await connector.session()
    session.send(move_ms=60_000)
    session.execute("ReadDTC")
    await session.finished()


async def test_reconnects_when_the_connector_comes_back() -> None:
    first = FakeConnector()
    await first.start()
    async with running_fleet(first) as fleet:
        await first.session()
        await fleet.wait_connected()
        await first.stop()
        second = FakeConnector(first.address)
        await second.start()
        await second.session()
        await second.stop()


async def test_a_refused_vehicle_says_so_once_and_keeps_trying(
    connector: FakeConnector, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("vehicle_simulator", log_format="json")
    connector.refusal = Refusal(code="UNKNOWN_VEHICLE", message="no such vehicle")
    async with running_fleet(connector):
        async with asyncio.timeout(10):
            await connector.hello_count(3)
        connector.refusal = None
        await connector.session()
    lines = [line for line in capsys.readouterr().err.splitlines() if "vehicle_refused" in line]
    assert len(lines) == 1
    assert VIN in lines[0]


async def test_a_refusal_that_names_a_time_is_obeyed(connector: FakeConnector) -> None:
    policy = ReconnectPolicy(refused_seconds=60)
    assert 2 <= policy.after_refusal(2000) <= 3
    assert 60 <= policy.after_refusal(0) <= 90


def test_backoff_grows_with_full_jitter_up_to_its_cap() -> None:
    policy = ReconnectPolicy(first_seconds=1, most_seconds=30)
    delays = [policy.after_failures(2) for _ in range(200)]
    assert max(delays) <= 4
    assert min(delays) < 1
    assert max(policy.after_failures(500) for _ in range(200)) <= 30


@pytest.mark.parametrize(("first_seconds", "expected"), [(60, [1, 2, 3]), (0, [0, 0, 0])], ids=["short", "long"])
async def test_sessions_that_end_at_once_are_not_opened_again_at_once(
    connector: FakeConnector, monkeypatch: pytest.MonkeyPatch, first_seconds: float, expected: list[int]
) -> None:
    """Short is one that did not last as long as the pause that it deserves; each of them here lasts for a moment."""
    failures: list[int] = []

    def noted(_: ReconnectPolicy, count: int) -> float:
        failures.append(count)
        return 0.0

    monkeypatch.setattr(ReconnectPolicy, "after_failures", noted)
    monkeypatch.setattr("tests.unit.vehicle_simulator.conftest.QUICK", ReconnectPolicy(first_seconds=first_seconds))
    async with running_fleet(connector):
        for _ in range(3):
            (await connector.session()).close()
        await connector.session()
        assert failures == expected


async def test_each_vehicle_has_its_own_connection(connector: FakeConnector) -> None:
    async with running_fleet(connector, specs=simulated_fleet(5)) as fleet:
        await fleet.wait_connected()
        assert len(set(connector.peers)) == 5
        assert fleet.connected_count == 5


async def test_vehicles_can_share_a_connection(connector: FakeConnector) -> None:
    async with running_fleet(connector, specs=demo_fleet(), shared=True) as fleet:
        await fleet.wait_connected()
        assert len(set(connector.peers)) == 1


async def test_an_executed_command_continues_the_trace(connector: FakeConnector) -> None:
    spans = InMemorySpanExporter()
    configure_tracing("vehicle_simulator", spans)
    try:
        async with running_fleet(connector):
            session = await connector.session()
            traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
            session.execute("ReadDTC", traceparent=traceparent)
            session.execute("ReadDTC", command_id="c2", traceparent=traceparent[:-1] + "0")
            await session.finished(2)
    finally:
        shutdown_tracing()
    (span,) = spans.get_finished_spans()
    assert span.name == "vehicle.execute"
    assert span.context is not None
    assert span.context.trace_id == int("a" * 32, 16)
    assert span.attributes is not None
    assert span.attributes["command_id"] == "c1"


async def test_an_error_of_the_vehicle_ends_the_command(
    connector: FakeConnector, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await connector.session()

    def fail(_: VehicleModel, __: int) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(VehicleModel, "ecu", fail)
    session.execute("ReadDTC")
    last = (await session.finished()).finished
    assert (last.kind, last.code) == (Finished.FAILED, "VEHICLE_ERROR")
