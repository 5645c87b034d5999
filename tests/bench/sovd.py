"""What the SOVD link adds to its HTTP request: `python -m tests.bench.sovd`.

One simulated vehicle in a process of its own. In turn the same request is sent by itself (httpcore, kept alive as the
link does it) and as a command over the link, from its hand-over to its last update; what counts is the difference of
the medians.
"""

import asyncio
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import httpcore
import uvloop

from tests.integration.sovd.bench import VIN, Bench, linked, served
from vehicle_links.vehicle_link import AttemptKey, Finished, Update, VehicleLink

ROUNDS = 500
WARM_UP = 50
ALLOWED_MS = 3.0


def measure_added_by_sovd() -> dict[str, float]:
    """Medians in milliseconds: `request`, `command`, what the link `added`, and how much processor time of that."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    server.start()
    try:
        return uvloop.run(_measure(ours.recv()))
    finally:
        server.kill()
        server.join()


def _serve(pipe: Connection) -> None:
    async def serve() -> None:
        async with served() as server:
            pipe.send(server.port)
            await asyncio.Event().wait()

    uvloop.run(serve())


class _Timed(Bench):
    """Tells when a command has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    def on_update(self, link: VehicleLink, key: AttemptKey, update: Update) -> None:
        super().on_update(link, key, update)
        if isinstance(update, Finished):
            self.over.set()


async def _measure(port: int) -> dict[str, float]:
    server = f"http://127.0.0.1:{port}/{VIN}"
    requests: list[tuple[float, float]] = []
    commands: list[tuple[float, float]] = []
    async with linked(server, bench=_Timed()) as bench, httpcore.AsyncConnectionPool() as pool:
        assert isinstance(bench, _Timed)
        for _ in range(WARM_UP + ROUNDS):
            begin = _now()
            await pool.request("GET", f"{server}/v1/components/ecm/faults")
            requests.append(_since(begin))
            bench.over.clear()
            begin = _now()
            attempt = bench.start("ReadDTC")
            await bench.over.wait()
            commands.append(_since(begin))
            assert attempt.outcome == ("completed", "")
    (request, request_cpu), (command, command_cpu) = _medians(requests), _medians(commands)
    return {
        "request": request,
        "command": command,
        "added": command - request,
        "added_cpu": command_cpu - request_cpu,
    }


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(begin: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    wall, cpu = zip(*times[WARM_UP:], strict=True)
    return 1000 * statistics.median(wall), 1000 * statistics.median(cpu)


if __name__ == "__main__":
    found = measure_added_by_sovd()
    print(", ".join(f"{name} {value:.2f} ms" for name, value in found.items()))
    assert found["added"] <= ALLOWED_MS, f"more than {ALLOWED_MS} ms"
