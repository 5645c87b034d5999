"""ScanECUs over SOVD: the components that have an address, and what their identification data say."""

import json

import pytest

from tests.integration.sovd.bench import SPEC, bench_of, served
from vehicle_links.sovd import scan
from vehicle_simulator.commands import answers
from vehicle_simulator.ecus import VehicleModel
from vehicle_simulator.faults import FaultScript, parse_fault


async def test_the_components_are_those_of_any_other_link() -> None:
    """As the same vehicle tells of them over its session."""
    async with served() as server, bench_of(server) as bench:
        attempt = await bench.run("ScanECUs")
    assert attempt.outcome == ("completed", "")
    assert attempt.begun == 1
    assert attempt.responses == [json.loads(one) for one in answers(VehicleModel(SPEC), "ScanECUs", {}, 0)]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [("silent", "it has not said all within 2 s"), ("garbage", "not JSON")],
)
async def test_a_component_that_makes_no_sense_hides_none_behind_it(
    fault: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_IDENTITY_SECONDS", 2.0)
    script = FaultScript()
    async with served(script=script) as server, bench_of(server) as bench:
        script.add(parse_fault(f"{fault}:times=1,command=ReadDataByID"))
        attempt = await bench.run("ScanECUs")
    assert attempt.outcome == ("completed", "")
    assert attempt.responses[0]["problem"].startswith(problem)
    assert [one.get("name") for one in attempt.responses] == ["ECM", "TCM", "SRS", "ABS", "BCM", "IC", None]
    assert ["problem" in one for one in attempt.responses[1:]] == [False] * 6
