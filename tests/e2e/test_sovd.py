"""From the API through the connector to a vehicle's own SOVD server, and back: the whole catalogue."""

from contextlib import closing
from pathlib import Path

from tests.e2e.test_doip import Fleet, simulated
from tests.e2e.test_embedded import running
from tests.support.local_servers import free_port
from tests.support.waiting import wait_for

COMPLETED = "completed"


def test_a_vehicle_with_a_sovd_server_is_dialled_diagnosed_and_seen_to_leave(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path) as system:
        system.log_in("admin", "admin123")
        with closing(Fleet(system.url)) as fleet:
            with simulated(system, port, tmp_path, kind="sovd"):
                diagnose(fleet, port)
            wait_for(lambda: fleet.status() == "offline", 60)


def diagnose(fleet: Fleet, port: int) -> None:
    wait_for(lambda: fleet.status() == "online", 60)
    vehicle = fleet.vehicle()
    assert vehicle["link"] == {
        "kind": "sovd",
        "address": f"http://127.0.0.1:{port}/{vehicle['vin']}",
        "problem": None,
    }
    *faults, count = fleet.completed("ReadDTC")
    assert [fault["display_code"] for fault in faults] == ["P0420-11", "P0171-00"]
    assert count == {"ecuAddress": "0x10", "count": 2}
    (details,) = fleet.completed("ReadDTCDetails", dtcCode="P0420-11")
    assert details["snapshots"][0]["data"][0]["id"] == "0xF405"
    # The first try meets a connection that breaks: it may have reached the vehicle, so there is no second one.
    command, _ = fleet.run("ClearDTC")
    assert (command["status"], command["error_code"]) == ("failed", "OUTCOME_UNKNOWN")
    fleet.completed("ClearDTC")
    assert fleet.completed("ReadDTC") == [{"ecuAddress": "0x10", "count": 0}]
    (written,) = fleet.completed("WriteDataByID", dataId="0x2001", value="0x0320")
    (read,) = fleet.completed("ReadDataByID", dataId="0x2001")
    assert (written["raw"], read["value"]) == ("0x0320", 800)
    started = fleet.completed("RoutineControl", routineId="0x0203", action="start")
    assert [answer["status"] for answer in started] == [COMPLETED]
    fleet.completed("ECUReset", resetType="soft")
    streamed = fleet.completed("StreamDataByID", dataIds=["0xF40C"], interval_ms=100, duration_s=1.0)
    assert len(streamed) >= 4
