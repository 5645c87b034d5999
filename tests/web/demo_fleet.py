"""A fleet that looks alive: vehicles of several makes, and a day of commands that ended in every way there is."""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import httpx

from tests.support.sql import execute_sql
from tests.support.system import ENGINEER, System
from tests.support.waiting import wait_for
from vehicle_simulator.vins import fleet_vins

DEMO_VINS = ("WDD1234567890ABCD", "WDD0987654321ZYXW")
SIMULATED = 12
_MODELS = (("C-Class", 2023), ("EQE", 2024), ("GLC", 2022), ("Sprinter", 2021), ("S-Class", 2024), ("Vito", 2020))
# Nobody simulates these.
_AWAY = (
    ("WVWZZZCDZRW123456", "Volkswagen", "ID.3", 2023),
    ("WAUZZZF49RN004521", "Audi", "A6", 2024),
    ("YV1XZEHR7P2987104", "Volvo", "XC40", 2022),
)
_PEOPLE = (
    ("m.weber", "Maria Weber", "engineer"),
    ("t.okafor", "Tunde Okafor", "engineer"),
    ("l.rossi", "Lucia Rossi", "viewer"),
)
_PASSWORD = "a password for pictures"
_ECUS = ("0x10", "0x18", "0x1A", "0x28", "0x40", "0x60")
# Which one of the fleet falls silent, so that its commands time out.
_SILENT = 5
_OPEN = ("pending", "dispatched", "in_progress")
_WAIT_SECONDS = 60

# The order stays as it was; some hours were busier than others.
_SPREAD_OVER_A_DAY = """
UPDATE command_service.commands AS c SET
  created_at = created_at - ago, expires_at = expires_at - ago, dispatched_at = dispatched_at - ago,
  started_at = started_at - ago, completed_at = completed_at - ago
FROM (SELECT accept_number AS number, (23 * (1 - place) + 0.7 * sin(place * 25)) * interval '1 hour' AS ago
      FROM (SELECT accept_number, percent_rank() OVER (ORDER BY accept_number) AS place
            FROM command_service.commands WHERE completed_at IS NOT NULL) AS placed) AS moved
WHERE c.accept_number = moved.number AND c.completed_at IS NOT NULL AND ago > interval '1 minute'
"""


def simulator_settings() -> dict[str, str]:
    silent = fleet_vins(SIMULATED)[_SILENT]
    return {"VINS": ",".join(DEMO_VINS), "FAULTS": f"silent:vin={silent},command=ReadDTCDetails"}


def bring_to_life(system: System) -> None:
    """Of a system that was made with `simulator_settings` and `SIMULATED` vehicles, and has just started."""
    with system.client() as admin:
        for vehicle in _vehicles():
            admin.post("/api/v1/vehicles", json=vehicle).raise_for_status()
        for username, name, role in _PEOPLE:
            user = {"username": username, "password": _PASSWORD, "full_name": name, "role": role}
            admin.post("/api/v1/users", json={**user, "email": f"{username}@example.com"}).raise_for_status()
    system.start_vehicles()
    with system.client() as admin:
        online = system.wait_for_vehicles(admin, SIMULATED + len(DEMO_VINS))
    ids = {vehicle["vin"]: vehicle["vehicle_id"] for vehicle in online}
    senders = [system.client(user) for user in (ENGINEER, *((username, _PASSWORD) for username, *_ in _PEOPLE[:2]))]
    for sender, command in zip(cycle(senders), _a_days_work(ids), strict=False):
        sender.post("/api/v1/commands", json=command).raise_for_status()
    wait_for(lambda: not _under_way(senders[0]), _WAIT_SECONDS)
    execute_sql(system.database_url, _SPREAD_OVER_A_DAY)
    _leave_some_open(senders[0])
    for sender in senders:
        sender.close()


def _vehicles() -> Iterator[dict[str, Any]]:
    for vin, (model, year) in zip(fleet_vins(SIMULATED), cycle(_MODELS), strict=False):
        yield {"vin": vin, "make": "Mercedes", "model": model, "year": year}
    for vin, make, model, year in _AWAY:
        yield {"vin": vin, "make": make, "model": model, "year": year}


def _a_days_work(ids: dict[str, str]) -> Iterator[dict[str, Any]]:
    fleet = list(ids.values())
    reads = [_command(one, "ReadDTC", ecuAddress=ecu) for ecu in _ECUS for one in fleet]
    data = [_command(one, "ReadDataByID", ecuAddress="0x10", dataId="0xF40C") for one in fleet for _ in range(6)]
    refused = [_command(one, "ReadDataByID", ecuAddress="0x10", dataId="0x0000") for one in fleet[::3]]
    nobody_there = [_command(one, "ReadDTC", ecuAddress="0x77") for one in fleet[::4]]
    tests = [
        _command(one, "RoutineControl", ecuAddress="0x28", routineId="0x0301", action="start") for one in fleet[:4]
    ]
    silent = ids[fleet_vins(SIMULATED)[_SILENT]]
    too_late = [
        _command(silent, "ReadDTCDetails", ecuAddress="0x10", dtcCode="P0420-11") | {"timeout_seconds": 1}
        for _ in range(2)
    ]
    mixed = [reads, data, refused, nobody_there, tests, too_late]
    yield from _evenly(mixed)
    # What the cleared memory of one vehicle has lost is seen by comparing it with the reading before.
    known = ids[DEMO_VINS[0]]
    yield _command(known, "ScanECUs")
    yield _command(known, "ClearDTC", ecuAddress="0x28")
    for ecu in _ECUS:
        yield _command(known, "ReadDTC", ecuAddress=ecu)


def _leave_some_open(engineer: httpx.Client) -> None:
    """For vehicles that are away: they wait, and one was cancelled."""
    away = engineer.get("/api/v1/vehicles", params={"status": "offline"}).raise_for_status().json()["items"]
    for vehicle, ecu in zip(cycle(away), islice(_ECUS, 5), strict=False):
        command = _command(vehicle["vehicle_id"], "ReadDTC", ecuAddress=ecu) | {"expires_in_seconds": 28_800}
        accepted = engineer.post("/api/v1/commands", json=command).raise_for_status().json()
    engineer.post(f"/api/v1/commands/{accepted['command_id']}/cancel").raise_for_status()


def _command(vehicle_id: str, name: str, **params: Any) -> dict[str, Any]:
    return {"vehicle_id": vehicle_id, "command_name": name, "command_params": params}


def _evenly(lists: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """All of them in one, each list spread over the whole."""
    placed = [((place + 0.5) / len(one), item) for one in lists for place, item in enumerate(one)]
    return [item for _, item in sorted(placed, key=lambda pair: pair[0])]


def _under_way(client: httpx.Client) -> bool:
    return bool(client.get("/api/v1/commands", params={"status": _OPEN, "limit": 1}).raise_for_status().json()["items"])
