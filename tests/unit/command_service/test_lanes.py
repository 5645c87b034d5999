import pytest

from command_service.domain.catalogue import CATALOGUE
from command_service.domain.command import Status
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.lanes import QueueEntry, Verdict, lane_key, verdicts
from service_kit.uds import is_functional
from tests.unit.command_service.builders import START, VEHICLE, after

FUNCTIONAL = 0xE400


def entry(
    name: str,
    ecu: int = 0x10,
    *,
    priority: int = 0,
    number: int = 0,
    status: Status = Status.PENDING,
    expires: float = 900,
    user: str = "engineer",
    command_class: str = "read",
) -> QueueEntry:
    return QueueEntry(
        name,
        VEHICLE,
        lane_key(VEHICLE, ecu),
        is_functional(ecu),
        priority,
        number,
        status,
        after(expires),
        user,
        command_class,
    )


def test_a_lane_runs_one_at_a_time_in_the_order_accepted() -> None:
    queue = [entry("b", number=2), entry("a", number=1), entry("other", 0x18, number=3)]
    assert verdicts(queue, START, reachable=True) == {
        "a": Verdict.RUN,
        "b": Verdict.LANE_BUSY,
        "other": Verdict.RUN,
    }


def test_what_names_no_ecu_takes_the_vehicle() -> None:
    assert CATALOGUE["ScanECUs"].lane(VEHICLE, {}) == (lane_key(VEHICLE, FUNCTIONAL), True)


def test_higher_priority_runs_first() -> None:
    queue = [entry("a", number=1), entry("urgent", number=2, priority=5)]
    assert verdicts(queue, START, reachable=True) == {"urgent": Verdict.RUN, "a": Verdict.LANE_BUSY}


@pytest.mark.parametrize("status", [Status.DISPATCHED, Status.IN_PROGRESS])
def test_what_runs_holds_its_lane(status: Status) -> None:
    queue = [entry("running", number=1, status=status), entry("a", number=2), entry("b", 0x18, number=3)]
    assert verdicts(queue, START, reachable=True) == {"a": Verdict.LANE_BUSY, "b": Verdict.RUN}


def test_an_exclusive_command_waits_for_all_ahead_and_holds_back_all_behind() -> None:
    queue = [entry("a", number=1), entry("all", FUNCTIONAL, number=2), entry("b", 0x18, number=3)]
    assert verdicts(queue, START, reachable=True) == {
        "a": Verdict.RUN,
        "all": Verdict.VEHICLE_BUSY,
        "b": Verdict.VEHICLE_BUSY,
    }
    running = [entry("all", FUNCTIONAL, number=2, status=Status.IN_PROGRESS), entry("b", 0x18, number=3)]
    assert verdicts(running, START, reachable=True) == {"b": Verdict.VEHICLE_BUSY}
    assert verdicts([entry("all", FUNCTIONAL, number=2)], START, reachable=True) == {"all": Verdict.RUN}


def test_nothing_runs_on_an_offline_vehicle_and_an_expired_command_is_in_nobodys_way() -> None:
    queue = [entry("old", number=1, expires=-1), entry("a", number=2)]
    assert verdicts(queue, START, reachable=False) == {"old": Verdict.EXPIRED, "a": Verdict.VEHICLE_OFFLINE}
    assert verdicts(queue, START, reachable=True)["a"] is Verdict.RUN


@pytest.mark.parametrize("command_class", ["write", "actuate"])
def test_a_lock_holds_back_what_others_change_until_it_ends(command_class: str) -> None:
    lock = DiagnosticLock("owner", "Olivia", START, after(60))
    queue = [
        entry("theirs", number=1, command_class=command_class),
        entry("everywhere", FUNCTIONAL, number=2, command_class=command_class),
        entry("reads", 0x18, number=3),
        entry("owners", number=4, user="owner", command_class=command_class),
        entry("old", number=5, command_class=command_class, expires=-1),
    ]
    assert verdicts(queue, START, reachable=True, lock=lock) == {
        "theirs": Verdict.HELD_BACK,
        "everywhere": Verdict.HELD_BACK,
        "reads": Verdict.RUN,
        "owners": Verdict.RUN,
        "old": Verdict.EXPIRED,
    }
    assert verdicts(queue, lock.expires_at, reachable=True, lock=lock)["theirs"] is Verdict.RUN


def test_the_address_is_canonical_in_the_lane() -> None:
    read = CATALOGUE["ReadDTC"]
    assert read.lane(VEHICLE, {"ecuAddress": "0x10"}) == read.lane(VEHICLE, {"ecuAddress": "0x00000010"})


def test_a_stream_has_a_lane_of_its_own() -> None:
    stream = CATALOGUE["StreamDataByID"]
    lane, exclusive = stream.lane(VEHICLE, {"ecuAddress": "0x10", "duration_s": 5})
    assert lane != CATALOGUE["ReadDTC"].lane(VEHICLE, {"ecuAddress": "0x10"})[0]
    assert not exclusive
    assert stream.stream_duration_ms({"duration_s": 1.5}) == 1500


@pytest.mark.parametrize("address", [0xE000, 0xEFFF, 0x7DF, 0x18DB33F1])
def test_functional_addresses_take_the_vehicle(address: int) -> None:
    lane, exclusive = CATALOGUE["ReadDTC"].lane(VEHICLE, {"ecuAddress": hex(address)})
    assert exclusive
    assert lane.endswith(":*")
    assert not is_functional(0x10)
