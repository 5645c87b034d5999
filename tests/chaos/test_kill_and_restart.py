"""Parts are killed, restarted, cut off and frozen under load; then every promise is checked over every command."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.chaos.promises import check_promises
from tests.chaos.traffic import Traffic
from tests.support.servers import PostgresServer, RabbitServer, RedisServer
from tests.support.system import System, running

pytestmark = pytest.mark.timeout(300)

# The design's times, shortened in proportion: the tests are about order and fences, not about waiting.
QUICK = {
    "LEASE_SECONDS": "3",
    "LEASE_RENEWAL_SECONDS": "0.9",
    "LEASE_GRACE_SECONDS": "0.5",
    "CLAIM_SECONDS": "3",
    "SESSION_GRACE_SECONDS": "6",
    "HEARTBEAT_INTERVAL_SECONDS": "1",
    "HEARTBEAT_TIMEOUT_SECONDS": "3",
}
SETTLED_SECONDS = 90


@pytest.fixture(scope="module")
def shared_system(
    postgres_server: PostgresServer,
    rabbitmq_server: RabbitServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()
    made = System(
        postgres_server.new_database(),
        rabbitmq_server.new_vhost(),
        redis_server.url,
        tmp_path_factory.mktemp("system"),
        vehicles=6,
        connectors=2,
        settings=QUICK,
        # Long enough that something is always under way when a part dies.
        simulator_settings={"ANSWER_LATENCY_MS": "30"},
    )
    with running(made):
        yield made


@pytest.fixture
def system(
    shared_system: System, postgres_server: PostgresServer, rabbitmq_server: RabbitServer, redis_server: RedisServer
) -> System:
    """What one test did to it, the next finds healed: that is what it promises."""
    for server in (postgres_server, rabbitmq_server, redis_server):
        server.ensure_running()
    for process in shared_system.processes.values():
        if process.running:
            process.resume()
        else:
            process.start()
    shared_system.wait_until_ready()
    return shared_system


async def under_load(system: System, disturb: Callable[[], Awaitable[None]], users: int = 12) -> dict[str, int]:
    with system.client() as client:
        vehicle_ids = [vehicle["vehicle_id"] for vehicle in system.wait_for_vehicles(client, 12)]
    async with Traffic(system, vehicle_ids, users) as traffic:
        await traffic.send_at_least(60)
        await disturb()
        await traffic.send_at_least(60)
        await traffic.finish(SETTLED_SECONDS)
        return await check_promises(system, traffic)


async def off(function: Callable[[], object]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function)


@pytest.mark.parametrize("name", ["vehicle_connector", "command_service", "gateway", "vehicle_simulator"])
async def test_a_killed_process_loses_and_repeats_nothing(system: System, name: str) -> None:
    async def kill_and_restart() -> None:
        for _ in range(2):
            system.processes[name].kill()
            await asyncio.sleep(0.3)
            system.processes[name].start()
            await off(system.wait_until_ready)

    ends = await under_load(system, kill_and_restart)
    assert ends.get("completed", 0) > 60, ends


async def test_a_connector_that_never_returns(system: System) -> None:
    async def kill() -> None:
        system.processes["vehicle_connector_2"].kill()
        # Its vehicles find nobody there; the simulator is told of the other connector, as a name service would.
        dial(system.session_ports[0])

    def dial(port: int) -> None:
        simulator = system.processes["vehicle_simulator_2"]
        simulator.kill()
        simulator.environment["CONNECTOR_ADDRESS"] = f"127.0.0.1:{port}"
        simulator.start()

    ends = await under_load(system, kill)
    assert ends.get("completed", 0) > 60, ends
    # For other tests there are two again.
    dial(system.session_ports[1])


async def test_a_frozen_connector_is_fenced(system: System) -> None:
    """Longer than its lease: when it wakes, it must not hand over what was given to somebody else meanwhile."""

    async def freeze() -> None:
        system.processes["vehicle_connector"].pause()
        await asyncio.sleep(6)
        system.processes["vehicle_connector"].resume()

    await under_load(system, freeze)


async def test_a_terminated_connector_drains(system: System) -> None:
    async def roll() -> None:
        for name in ("vehicle_connector", "vehicle_connector_2"):
            assert await asyncio.get_running_loop().run_in_executor(None, system.processes[name].terminate) == 0
            system.processes[name].start()

    ends = await under_load(system, roll)
    assert not any("OUTCOME_UNKNOWN" in end for end in ends), f"a drain leaves no fate unknown: {ends}"


async def test_rabbitmq_restarts(system: System, rabbitmq_server: RabbitServer) -> None:
    await under_load(system, lambda: off(rabbitmq_server.restart))


async def test_redis_is_away_and_commands_still_run(system: System, redis_server: RedisServer) -> None:
    async def without_redis() -> None:
        await off(redis_server.stop)
        # Viewers see every event all the same, from the recorded state.
        async with asyncio.timeout(60):
            await asyncio.sleep(5)
        await off(redis_server.start)

    ends = await under_load(system, without_redis)
    assert set(ends) <= {"completed", "failed NEGATIVE_RESPONSE"}, ends


async def test_postgresql_restarts(system: System, postgres_server: PostgresServer) -> None:
    await under_load(system, lambda: off(postgres_server.restart))


async def test_postgresql_crashes(system: System, postgres_server: PostgresServer) -> None:
    async def crash() -> None:
        await off(postgres_server.kill)
        await off(postgres_server.start)

    await under_load(system, crash)
