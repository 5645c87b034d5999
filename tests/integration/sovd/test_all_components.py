"""A command to all components at once: what one of them says is hidden by no other."""

from typing import Any

import pytest

from tests.integration.sovd.bench import linked
from tests.integration.sovd.fake_server import ECM, Reply, fake_server

TCM = "/components/tcm"
BOTH: dict[tuple[str, str], Any] = {
    ("GET", "/components"): {"items": [{"id": "ecm", "name": "ECM"}, {"id": "tcm", "name": "TCM"}]},
    ("GET", TCM): {"id": "tcm", "name": "TCM", "variant": {"logical_address": "0x18"}},
}
REFUSALS = [
    (Reply(409, {"parameters": {"owner": "workshop"}}), "VEHICLE_LOCKED", "workshop"),
    (Reply(401), "VEHICLE_UNAUTHORIZED", "401"),
    (Reply(502, {"parameters": {"nrc": 0x22}}), "NEGATIVE_RESPONSE", "conditionsNotCorrect"),
]
# Who has no such thing does not answer to a functional address (ISO 14229-1, 8.7.3).
NOT_THERE = [Reply(404), Reply(405), Reply(501), Reply(502, {"parameters": {"nrc": 0x31}})]


@pytest.mark.parametrize(("refusal", "code", "said"), REFUSALS)
@pytest.mark.parametrize("refusing", [ECM, TCM])
async def test_a_refusal_of_one_is_told_after_what_the_others_gave(
    refusing: str, refusal: Reply, code: str, said: str
) -> None:
    answers = {("DELETE", f"{path}/faults"): refusal if path == refusing else None for path in (ECM, TCM)}
    async with fake_server({**BOTH, **answers}) as server, linked(server.address) as bench:
        attempt = await bench.run("ClearDTC", ecuAddress="0xE400")
    assert attempt.outcome == ("failed", code)
    assert attempt.responses == [{"ecuAddress": "0x18" if refusing == ECM else "0x10"}]
    assert attempt.finished is not None
    assert attempt.finished.message.startswith(refusing.rpartition("/")[2].upper())
    assert said in attempt.finished.message


async def test_of_several_that_refuse_each_is_named_and_none_is_counted() -> None:
    answers = {
        ("GET", f"{ECM}/faults"): Reply(401),
        ("GET", f"{TCM}/faults"): Reply(502, {"parameters": {"nrc": 0x22}}),
    }
    async with fake_server({**BOTH, **answers}) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDTC", ecuAddress="0xE400")
    assert attempt.outcome == ("failed", "VEHICLE_UNAUTHORIZED")
    assert attempt.responses == []
    assert attempt.finished is not None
    assert ("ECM: " in attempt.finished.message, "TCM: 0x22" in attempt.finished.message) == (True, True)


@pytest.mark.parametrize("reply", NOT_THERE)
async def test_who_has_no_such_thing_says_nothing(reply: Reply) -> None:
    answers: dict[tuple[str, str], Any] = {
        ("GET", f"{ECM}/data/0xF190"): {"data": "0x01"},
        ("GET", f"{TCM}/data/0xF190"): reply,
    }
    async with fake_server({**BOTH, **answers}) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDataByID", ecuAddress="0xE400", dataId="0xF190")
    assert (attempt.outcome, len(attempt.responses)) == (("completed", ""), 1)


@pytest.mark.parametrize("reply", NOT_THERE)
async def test_where_none_has_it_that_is_the_failure(reply: Reply) -> None:
    answers = {("GET", f"{path}/data/0xF190"): reply for path in (ECM, TCM)}
    async with fake_server({**BOTH, **answers}) as server, linked(server.address) as bench:
        attempt = await bench.run("ReadDataByID", ecuAddress="0xE400", dataId="0xF190")
    of_nobody = {404: "NOT_FOUND_ON_VEHICLE", 405: "UNSUPPORTED_COMMAND", 501: "UNSUPPORTED_COMMAND"}
    assert attempt.outcome == ("failed", of_nobody.get(reply.status, "ECU_NOT_REACHABLE"))
