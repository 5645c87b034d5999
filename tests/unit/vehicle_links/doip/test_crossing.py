"""What belongs to one request is not taken for another's: late answers to all and to one, acknowledgements."""

from typing import Any

import pytest

from sovd_protos.connector.v1.connector_pb2 import Outcome
from tests.support.waiting import until
from tests.unit.vehicle_links.doip.conftest import Bench
from vehicle_links.doip import ecu as ecu_module
from vehicle_links.doip import functional
from vehicle_simulator.doip import messages as doip

ALL = "0xE400"


async def test_a_late_answer_to_all_is_none_to_the_next_request(bench: Bench) -> None:
    await bench.completed("ReadDTC")
    bench.script("slow:seconds=1.2,times=1,command=ReadDTC")  # ECU 0x10, beyond the window
    assert all(answer["ecuAddress"] != "0x10" for answer in await bench.completed("ReadDTC", ecuAddress=ALL))
    assert await bench.completed("ReadDTC", statusMask="0x40") == [{"ecuAddress": "0x10", "count": 0}]


@pytest.mark.parametrize("silence", [5.0, 0.05], ids=["waited for", "not waited for"])
async def test_a_late_answer_of_one_ecu_is_none_to_what_all_are_asked(
    bench: Bench, silence: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecu_module, "_SILENCE_SECONDS", silence)
    monkeypatch.setattr(functional, "_WINDOW_SECONDS", 2.0)
    answer = bench.witness.answer

    def refuses_with_all(address: int, request: bytes, now: float, *, functional: bool = False) -> bytes | None:
        refused = functional and address == 0x10
        return bytes.fromhex("7F1422") if refused else answer(address, request, now, functional=functional)

    monkeypatch.setattr(bench.witness, "answer", refuses_with_all)
    bench.script("slow:seconds=0.8,times=1,command=ClearDTC")
    late = await bench.dispatch("ClearDTC", timeout_ms=200)
    assert (await bench.outcome(late)).kind == Outcome.TIMED_OUT
    responses, outcome = await bench.run("ClearDTC", ecuAddress=ALL)
    assert (outcome.kind, outcome.message) == (Outcome.FAILED, "ECU 0x10: 0x22 conditionsNotCorrect")
    assert [response["ecuAddress"] for response in responses] == ["0x18", "0x1A", "0x28", "0x40", "0x60"]


@pytest.mark.parametrize(
    ("name", "params"),
    [("WriteDataByID", {"dataId": "0xF198", "value": "0x54"}), ("ReadDTC", {"ecuAddress": ALL})],
    ids=["to one", "to all"],
)
async def test_that_the_tester_present_was_not_passed_on_is_not_said_of_the_next_request(
    bench: Bench, name: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecu_module, "_TESTER_PRESENT_SECONDS", 0.05)
    diagnose = bench.entity._diagnose
    unsaid: list[doip.Diagnostic] = []

    def says_it_late(connection: Any, asked: doip.Diagnostic) -> bool:
        if asked.data == b"\x3e\x80":
            unsaid.append(asked)
            return True
        while unsaid:
            connection.send(doip.diagnostic_nack(unsaid.pop(0), doip.DiagnosticNack.UNKNOWN_TARGET_ADDRESS))
        return diagnose(connection, asked)

    monkeypatch.setattr(bench.entity, "_diagnose", says_it_late)
    await bench.completed("WriteDataByID", dataId="0xF198", value="0x53")
    await until(lambda: unsaid)
    await bench.completed(name, **params)
