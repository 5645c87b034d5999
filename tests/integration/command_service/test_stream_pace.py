"""A stream's timeout is the longest gap between its answers: an interval that is not less would always time out."""

import json

import pytest

from command_service.use_cases.submission_batch import Submission
from service_kit.errors import InvalidInput, ServiceError
from tests.integration.command_service.world import World, a_submission


def _stream(vehicle_id: str, interval_ms: int, timeout: int | None) -> Submission:
    parameters = {"ecuAddress": "0x10", "dataIds": ["0xF40C"], "interval_ms": interval_ms, "duration_s": 90}
    return a_submission(vehicle_id, "StreamDataByID", command_params=json.dumps(parameters), timeout_seconds=timeout)


@pytest.mark.parametrize(("interval_ms", "timeout"), [(15_000, None), (20_000, None), (5000, 5), (60_000, 60)])
async def test_a_stream_slower_than_its_timeout_is_refused(world: World, interval_ms: int, timeout: int | None) -> None:
    (error,) = await world.submit_all([_stream(await world.vehicle(), interval_ms, timeout)])
    assert isinstance(error, InvalidInput)
    assert (error.code, error.details["errors"][0]["field"]) == ("INVALID_PARAMETERS", "command_params.interval_ms")
    for said in (f"{interval_ms} is not less", f"timeout of {timeout or 15} s", f"less than {timeout or 15}000"):
        assert said in error.message


@pytest.mark.parametrize(("interval_ms", "timeout"), [(14_999, None), (20_000, 21), (60_000, 600)])
async def test_a_stream_faster_than_its_timeout_is_accepted(
    world: World, interval_ms: int, timeout: int | None
) -> None:
    (answer,) = await world.submit_all([_stream(await world.vehicle(), interval_ms, timeout)])
    assert not isinstance(answer, ServiceError)
