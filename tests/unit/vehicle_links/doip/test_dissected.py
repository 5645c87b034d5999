"""A recorded conversation of the link, as Debian's tshark understands it."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.programs import find_tool
from tests.unit.vehicle_connector.conftest import Worlds
from tests.unit.vehicle_links.doip.conftest import bench_of
from tests.unit.vehicle_links.doip.test_catalogue import seed_key

TESTER_PORT, ENTITY_PORT = 50_000, 13_400
# Of its expert information.
ERROR = 0x00800000


def capture(recorded: Iterable[tuple[str, bytes]], file: Path) -> Path:
    """The recorded bytes as packets of one TCP connection."""
    text2pcap = find_tool("text2pcap", "tshark")
    lines = [f"{'O' if direction == 'up' else 'I'} 000000 {data.hex(' ')}\n" for direction, data in recorded]
    ports = f"{TESTER_PORT},{ENTITY_PORT}"
    subprocess.run(
        [text2pcap, "-q", "-D", "-T", ports, "-4", "127.0.0.2,127.0.0.1", "-", file],
        input="".join(lines),
        text=True,
        check=True,
        capture_output=True,
    )
    return file


def dissected(file: Path) -> list[dict[str, str]]:
    """What tshark makes of each packet."""
    fields = ("doip.type", "uds.sid", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message")
    chosen = [option for field in fields for option in ("-e", field)]
    command = [find_tool("tshark", "tshark"), "-r", str(file), "-T", "fields", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [dict(zip(fields, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]


def values(packets: list[dict[str, str]], field: str) -> set[int]:
    return {int(value, 0) for packet in packets for value in packet[field].split(",") if value}


def is_wrong(packet: dict[str, str]) -> bool:
    return bool(packet["_ws.malformed"]) or ERROR in values([packet], "_ws.expert.severity")


async def test_nothing_of_a_conversation_is_malformed(worlds: Worlds, tmp_path: Path) -> None:
    async with bench_of(worlds, {"doip_seed_key": f"{seed_key.__module__}:seed_key"}) as bench:
        await bench.completed("ReadDTC")
        await bench.completed("ReadDTCDetails", dtcCode="P0420")
        await bench.completed("ReadDataByID", dataId="0xF190")
        await bench.completed("WriteDataByID", dataId="0xF199", value="0x20240315")
        await bench.completed("RoutineControl", routineId="0x0203", action="start")
        await bench.completed("StreamDataByID", dataIds=["0xF40C"], interval_ms=20, duration_s=0.1)
        await bench.completed("ClearDTC", ecuAddress="0xE400")
        await bench.run("ReadDTC", ecuAddress="0x99")
        await bench.completed("ECUReset", resetType="hard")
        packets = dissected(capture(bench.relay.recorded, tmp_path / "doip.pcapng"))
    wrong = [
        packet for packet in packets if packet["_ws.malformed"] or ERROR in values([packet], "_ws.expert.severity")
    ]
    assert wrong == []
    assert len(packets) == len(bench.relay.recorded)
    assert all(packet["doip.type"] for packet in packets)
    assert values(packets, "doip.type") == {0x0005, 0x0006, 0x8001, 0x8002, 0x8003}
    assert values(packets, "uds.sid") >= {0x10, 0x11, 0x14, 0x19, 0x22, 0x27, 0x2E, 0x31, 0x3E}


def test_what_is_malformed_is_seen(tmp_path: Path) -> None:
    """The other test can fail."""
    without_a_code = bytes.fromhex("02FD800200000004 00100E00")
    (packet,) = dissected(capture([("down", without_a_code)], tmp_path / "bad.pcapng"))
    assert is_wrong(packet)
