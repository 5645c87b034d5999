"""A recorded conversation of the link, as Debian's tshark understands it."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.local_servers import find_tool
from tests.unit.vehicle_connector.conftest import Worlds
from tests.unit.vehicle_connector.doip.conftest import bench_of
from tests.unit.vehicle_connector.doip.test_catalogue import seed_key

TESTER_PORT, ENTITY_PORT = 50_000, 13_400


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


def dissected(file: Path, shown: str, *fields: str) -> list[list[str]]:
    """The fields of the packets that a display filter shows."""
    chosen = [option for field in fields for option in ("-e", field)]
    command = [find_tool("tshark", "tshark"), "-r", str(file), "-Y", shown, "-T", "fields", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


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
        file = capture(bench.relay.recorded, tmp_path / "doip.pcapng")
    assert (
        dissected(file, "_ws.malformed || _ws.expert.severity >= 8388608", "frame.number", "_ws.expert.message") == []
    )
    types = {kind for row in dissected(file, "doip", "doip.type") for kind in row[0].split(",")}
    assert types == {"0x0005", "0x0006", "0x8001", "0x8002", "0x8003"}
    services = {int(sid, 0) for row in dissected(file, "uds", "uds.sid") for sid in row[0].split(",")}
    assert services >= {0x10, 0x11, 0x14, 0x19, 0x22, 0x27, 0x2E, 0x31, 0x3E}
    # Every byte was taken for DoIP.
    assert len(dissected(file, "doip", "frame.number")) == len(dissected(file, "tcp.len > 0", "frame.number"))
