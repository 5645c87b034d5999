"""Writes of one round of the loop leave together, in order, and none is lost or held back without bound."""

import asyncio

import pytest

from gateway import gathered_writes
from gateway.gathered_writes import GatheredWrites
from tests.support.waiting import until


class RecordingTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed_after: list[bytes] | None = None
        self.unsent = [5, 5]
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent.pop(0)

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed_after = list(self.written)

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def gathering() -> tuple[GatheredWrites, RecordingTransport]:
    transport = RecordingTransport()
    return GatheredWrites(transport), transport  # type: ignore[arg-type]


async def test_what_is_written_in_one_round_leaves_as_one() -> None:
    gathered, transport = gathering()
    gathered.write(b"head ")
    gathered.write(b"body")
    assert (transport.written, gathered.get_write_buffer_size()) == ([], 14)
    await asyncio.sleep(0)
    assert (transport.written, gathered.get_write_buffer_size()) == ([b"head body"], 5)
    gathered.write(b"more")
    await asyncio.sleep(0)
    assert transport.written == [b"head body", b"more"]


async def test_a_producer_that_never_waits_meets_the_transport() -> None:
    gathered, transport = gathering()
    for _ in range(100):
        gathered.write(b"x" * 1024)
    assert transport.written == [b"x" * 65 * 1024]
    await asyncio.sleep(0)
    assert sum(map(len, transport.written)) == 100 * 1024


async def test_nothing_is_lost_when_the_connection_is_closed() -> None:
    gathered, transport = gathering()
    gathered.write(b"last words")
    gathered.close()
    assert transport.closed_after == [b"last words"]
    await asyncio.sleep(0)
    assert transport.written == [b"last words"]


@pytest.mark.parametrize(("unsent", "aborted"), [([100, 90, 80, 80], True), ([100, 90, 0], False), ([0], False)])
async def test_a_closed_connection_is_given_up_once_its_client_takes_nothing_more(
    monkeypatch: pytest.MonkeyPatch, unsent: list[int], aborted: bool
) -> None:
    monkeypatch.setattr(gathered_writes, "STUCK_SECONDS", 0)
    gathered, transport = gathering()
    transport.unsent = unsent
    gathered.close()
    await until(lambda: not unsent)
    await asyncio.sleep(0)
    assert transport.aborted == aborted


async def test_all_else_is_the_transports() -> None:
    gathered, _ = gathering()
    assert gathered.get_extra_info("peername") == "the peername"
