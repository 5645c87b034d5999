"""Whatever bytes a vehicle sends on its session: a message that can be acted upon, or none; others are unharmed."""

import asyncio
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sovd_protos.connector.v1.connector_pb2 import Outcome
from sovd_protos.session.v1.session_pb2 import CommandUpdate, Finished, FromVehicle, Pending
from tests.support.waiting import until
from tests.unit.vehicle_connector.conftest import World
from tests.unit.vehicle_connector.ids import command_id
from tests.unit.vehicle_connector.scripted_vehicle import ScriptedVehicle, hello
from vehicle_connector.session_link.codec import parse_from_vehicle
from vehicle_connector.session_link.server import _update
from vehicle_connector.vehicle_response import complaint_about
from vehicle_links.vehicle_link import Finished as FinishedUpdate
from vehicle_links.vehicle_link import Progress, Response

OTHER_VIN = "WDD0987654321ZYXW"
NUMBERS = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=20) | st.sampled_from(["{}", '{"a":1}', "[]", "NaN"])
UPDATES = st.builds(
    CommandUpdate, command_id=TEXT, attempt=NUMBERS, number=st.integers(0, 3), response=TEXT
) | st.one_of(
    st.builds(CommandUpdate, number=NUMBERS, pending=st.builds(Pending, nrc=NUMBERS, message=TEXT)),
    st.builds(
        CommandUpdate,
        number=NUMBERS,
        finished=st.builds(Finished, kind=st.integers(0, 9), code=TEXT, message=TEXT, nrc=NUMBERS),
    ),
)
MESSAGES = st.builds(FromVehicle, updates=st.lists(UPDATES, max_size=3)).map(FromVehicle.SerializeToString)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with a few bytes that are others, or its end cut off."""
    message = bytearray(draw(MESSAGES))
    for _ in range(draw(st.integers(0, 3)) if message else 0):
        message[draw(st.integers(0, len(message) - 1))] = draw(st.integers(0, 255))
    return bytes(message[: draw(st.integers(0, len(message)))])


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | MESSAGES | damaged())
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    with suppress(DecodeError):
        for update in parse_from_vehicle(data).updates:
            understood = _update(update)
            assert isinstance(understood, Response | Progress | FinishedUpdate)
            if isinstance(understood, Response):
                complaint = complaint_about(understood.text)
                assert complaint is None or len(complaint) < 2200


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=250).filter(lambda data: not _is_text(data)))
def test_what_is_no_text_is_kept_in_the_complaint(data: bytes) -> None:
    message = FromVehicle(updates=[CommandUpdate(number=1, response="@" * len(data))]).SerializeToString()
    (update,) = parse_from_vehicle(message.replace(b"@" * len(data), data)).updates
    complaint = complaint_about(update.response)
    assert complaint is not None
    assert "not UTF-8" in complaint


def _is_text(data: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return bool(data.decode() or True)
    return False


@pytest.fixture
async def neighbour(world: World) -> ScriptedVehicle:
    return await world.vehicle(hello(OTHER_VIN))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=60) | MESSAGES | damaged(), min_size=1, max_size=4))
async def test_any_bytes_end_one_session_at_most(world: World, neighbour: ScriptedVehicle, said: list[bytes]) -> None:
    vehicle = await world.vehicle()
    with suppress(Exception):  # the connector may have ended the session already
        for data in said:
            await vehicle.send(data)
    new = command_id(f"{len(world.service.claims)}")
    epoch = next(number for number, opened in enumerate(world.service.opened, 1) if opened.vin == OTHER_VIN)
    await world.dispatch.command(new, OTHER_VIN, session_epoch=epoch)
    async with asyncio.timeout(5):
        await until(lambda: new in neighbour.handed)
    await neighbour.finish(new, 1)
    await until(lambda: world.service.outcome(new))
    outcome = world.service.outcome(new)
    assert outcome is not None
    assert outcome.kind == Outcome.COMPLETED
    assert not neighbour.ended
