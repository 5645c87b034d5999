"""The small parts, each by itself."""

import asyncio

import pytest

from sovd_protos.connector.v1.connector_pb2 import Result
from sovd_protos.session.v1 import session_pb2
from tests.support.waiting import until
from tests.unit.vehicle_connector.scripted_vehicle import response
from vehicle_connector.deadline import Deadline
from vehicle_connector.lease import Lease
from vehicle_connector.result_buffer import ResultBuffer
from vehicle_connector.session_link.codec import parse_from_vehicle
from vehicle_connector.stream_writer import StreamWriter
from vehicle_connector.vehicle_response import MAX_RESPONSE_BYTES, complaint_about

# --- the lease


def test_a_lease_counts_from_sending_its_renewal() -> None:
    now = 100.0
    lease = Lease(lambda: now)
    assert not lease.may_hand_over()
    sent_at = lease.now()
    now = 105.0  # the answer took five seconds
    lease.granted(sent_at, 10_000)
    assert lease.may_hand_over()
    now = 109.5  # before the service's lease can have lapsed
    assert not lease.may_hand_over()


def test_a_late_answer_to_an_old_renewal_does_not_shorten_the_lease() -> None:
    now = 0.0
    lease = Lease(lambda: now)
    lease.granted(20.0, 10_000)
    lease.granted(10.0, 10_000)
    now = 28.0
    assert lease.may_hand_over()


# --- the buffer


def _numbers(buffer: ResultBuffer) -> list[int]:
    return [result.number for result in buffer]


def test_results_are_numbered_and_kept_until_acknowledged() -> None:
    buffer = ResultBuffer()
    for _ in range(4):
        buffer.add(Result())
    assert buffer.acknowledge(2) == 2
    assert buffer.acknowledge(1) == 0
    assert (_numbers(buffer), buffer.acknowledged, buffer.next_number) == ([3, 4], 2, 5)


def test_what_another_connector_delivered_is_skipped() -> None:
    buffer = ResultBuffer()
    buffer.add(Result())
    assert buffer.skip_to(6) == 1
    buffer.add(Result())
    assert (_numbers(buffer), buffer.acknowledged) == ([6], 5)


# --- responses


@pytest.mark.parametrize("text", ["{}", ' {"a": 1}\n', '{"a":"ü"}', '{"a":"%s"}' % ("x" * (MAX_RESPONSE_BYTES - 8))])
def test_one_json_object_is_a_response(text: str) -> None:
    assert complaint_about(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"a":Infinity}',
        '{"a":1}x',
        '{"a":"\0"}',
        '{"a":"%s"}' % ("ü" * (MAX_RESPONSE_BYTES // 2)),
        "[" * 100_000,
        '{"a":%s}' % ("9" * 10_000),
    ],
)
def test_anything_else_is_not(text: str) -> None:
    complaint = complaint_about(text)
    assert complaint is not None
    assert len(complaint) < 600
    assert "\0" not in complaint


# --- reading what vehicles send


def test_only_the_text_that_is_not_utf_8_is_changed() -> None:
    pending = session_pb2.Pending(nrc=0x78, message="BAD")
    finished = session_pb2.Finished(kind=session_pb2.Finished.FAILED, code="BAD", message="BAD", nrc=0x22)
    message = session_pb2.FromVehicle(
        heartbeat=session_pb2.Heartbeat(number=7),
        updates=[
            response("c1", 1, '{"a":"BAD"}'),
            response("c2", 1, '{"a":"ü"}'),
            session_pb2.CommandUpdate(command_id="BAD", attempt=2, number=3, pending=pending),
            session_pb2.CommandUpdate(command_id="c4", attempt=2, number=4, finished=finished),
        ],
        goodbye=True,
    )
    read = parse_from_vehicle(message.SerializeToString().replace(b"BAD", b"\xff\xfeA"))
    assert read.updates[0].response == 'not UTF-8: {"a":"\\xff\\xfeA"}'
    assert read.updates[1] == message.updates[1]
    assert (read.updates[2].command_id, read.updates[2].pending.message) == ("\\xff\\xfeA", "\\xff\\xfeA")
    assert (read.updates[3].finished.code, read.updates[3].finished.nrc) == ("\\xff\\xfeA", 0x22)
    assert (read.heartbeat.number, read.goodbye) == (7, True)


def test_a_later_version_may_say_more() -> None:
    unknown_field = b"\xfa\x3e\x03new"
    data = session_pb2.FromVehicle(goodbye=True).SerializeToString() + unknown_field
    assert parse_from_vehicle(data).goodbye


# --- deadlines


async def test_a_deadline_that_moves_calls_back_once_at_the_last_one() -> None:
    loop = asyncio.get_running_loop()
    passed: list[float] = []
    deadline = Deadline(lambda: passed.append(loop.time()))
    began = loop.time()
    for seconds in (0.02, 0.05, 0.01, 0.1):
        deadline.set(seconds)
    await until(lambda: passed)
    assert passed[0] - began >= 0.1
    deadline.set(0.01)
    deadline.cancel()
    deadline.set(0.02)
    await until(lambda: len(passed) == 2)


# --- writers


async def test_a_writer_sends_all_that_came_up_during_a_write_in_one_message() -> None:
    waiting: list[int] = []
    written: list[list[int]] = []
    unblock = asyncio.Event()

    async def write(message: list[int]) -> None:
        written.append(message)
        await unblock.wait()

    def take() -> list[int] | None:
        message = waiting.copy()
        waiting.clear()
        return message or None

    writer: StreamWriter[list[int]] = StreamWriter(write, take, lambda: None)
    waiting.append(1)
    writer.wake()
    await until(lambda: written)
    waiting += [2, 3]
    writer.wake()
    unblock.set()
    assert await writer.flush()
    assert written == [[1], [2, 3]]
    writer.close()
    waiting.append(4)
    assert not await writer.flush()
    assert len(written) == 2


async def test_a_writer_that_breaks_says_so_and_writes_no_more() -> None:
    broken: list[bool] = []

    async def write(message: str) -> None:
        raise ConnectionError

    writer: StreamWriter[str] = StreamWriter(write, lambda: "message", lambda: broken.append(True))
    assert not await writer.flush()
    writer.wake()
    assert broken == [True]
