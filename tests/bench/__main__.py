"""`make bench`: the whole system as separate processes on real servers, driven over its public API.

Prints commands/s, latencies, CPU per command and memory of each process, by concurrency; then the memory of an idle
WebSocket and of an idle vehicle session; checks every promise over every command; writes JSON to bench_results/.
With --history all is measured before and after that many stored responses were inserted.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench.doip import measure_doip, summary
from tests.bench.history import insert_history
from tests.bench.idle import (
    MOST_MEGABYTES,
    IdleVehicles,
    allow_many_connections,
    measure_idle_certified_vehicles,
    measure_idle_vehicles,
    measure_idle_websockets,
)
from tests.bench.load import Measured, drive
from tests.bench.processes import Usage, server_usage
from tests.bench.sovd import ALLOWED_MS, measure_added_by_sovd
from tests.support.servers import Servers
from tests.support.system import ADMIN, ROOT, System
from vehicle_simulator.ledger import EXECUTED, read_ledger

VEHICLES = 256


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed and memory of the whole system.")
    parser.add_argument("--history", type=int, default=0, help="stored responses to insert first")
    parser.add_argument("--seconds", type=float, default=10, help="how long each concurrency is driven")
    parser.add_argument(
        "--concurrency", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32, 128]
    )
    parser.add_argument("--idle", type=int, default=2000, help="idle WebSockets to measure; 0 for none")
    parser.add_argument("--idle-vehicles", type=int, default=5000, help="idle vehicles to measure; 0 for none")
    parser.add_argument("--trace-share", default="0.1", help="share of traces that are sampled")
    return parser.parse_args()


@dataclass
class Run:
    """One concurrency: what the client measured and what each process used meanwhile."""

    measured: Measured
    usage: dict[str, Usage] = field(default_factory=dict)

    def cpu_ms_per_command(self, name: str) -> float:
        return 1000 * self.usage[name].cpu_seconds / max(1, len(self.measured.latencies))

    @property
    def busiest(self) -> str:
        return max((name for name in self.usage if name != "client"), key=lambda name: self.usage[name].cpu_seconds)


def main() -> None:
    options = _options()
    console = Console(width=150 if not sys.stdout.isatty() else None)
    servers = Servers()
    try:
        with tempfile.TemporaryDirectory(prefix="sovd-bench-") as directory:
            report = _bench(options, servers, Path(directory), console)
    finally:
        servers.close()
    results = ROOT / "bench_results"
    results.mkdir(exist_ok=True)
    path = results / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(json.dumps(report, indent=2))
    console.print(f"written: {path.relative_to(ROOT)}")
    if report["violations"] or report["errors"]:
        sys.exit(1)


def _bench(options: argparse.Namespace, servers: Servers, directory: Path, console: Console) -> dict[str, Any]:
    allow_many_connections(max(options.idle, options.idle_vehicles))
    for name in ("rabbitmq", "postgres", "redis"):
        servers.begin(name)
    os.environ.setdefault("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    os.environ.setdefault("OTEL_TRACES_SAMPLER_ARG", options.trace_share)
    database_url = servers.postgres.new_database()
    system = System(
        database_url,
        servers.rabbitmq.new_vhost(),
        servers.redis.url,
        directory,
        vehicles=VEHICLES,
        settings={"LOG_LEVEL": "INFO"},
    )
    try:
        system.start()
        at_rest = {name: memory for name, (_, memory) in system.usage().items()}
        vehicle_ids = [vehicle["vehicle_id"] for vehicle in system.start_vehicles()]
        phases = {"empty": _measure(options, system, vehicle_ids)}
        if options.history:
            console.print(f"inserting {options.history:,} stored responses …")
            insert_history(database_url, options.history)
            phases[f"{options.history:,} responses"] = _measure(options, system, vehicle_ids)
        runs = [run for phase in phases.values() for run in phase]
        for title, phase in phases.items():
            _print_table(console, title, phase)
        violations = _violations(system, [command_id for run in runs for command_id in run.measured.command_ids])
        idle_socket = measure_idle_websockets(system, options.idle) if options.idle else 0.0
        idle_vehicles = measure_idle_vehicles(system, options.idle_vehicles) if options.idle_vehicles else None
        system.stop()
    finally:
        system.kill_all()
    errors = [error for run in runs for error in run.measured.errors]
    _print_summary(console, runs, at_rest, idle_socket, violations, errors)
    if idle_vehicles:
        _print_idle_vehicles(console, "an idle vehicle session", idle_vehicles)
    certified = measure_idle_certified_vehicles(options.idle_vehicles) if options.idle_vehicles else None
    if certified:
        _print_idle_vehicles(console, "one with a certificate", certified)
    sovd = measure_added_by_sovd()
    console.print(f"the SOVD link adds {sovd['added']:.2f} ms to its request (at most {ALLOWED_MS:g} are allowed)")
    doip = measure_doip()
    console.print(summary(doip))
    return {
        "at_rest_bytes": at_rest,
        "phases": {title: [_as_json(run) for run in phase] for title, phase in phases.items()},
        "idle_websocket_bytes": idle_socket,
        "idle_vehicles": asdict(idle_vehicles) if idle_vehicles else None,
        "idle_certified_vehicles": asdict(certified) if certified else None,
        "sovd_link_ms": sovd,
        "doip_link_ms": doip,
        "violations": violations,
        "errors": errors,
    }


def _measure(options: argparse.Namespace, system: System, vehicle_ids: list[str]) -> list[Run]:
    token = system.token(ADMIN)
    # Everything is warm before anything counts.
    uvloop.run(drive(system.url, token, vehicle_ids, 32, 3))
    return [_run(system, token, vehicle_ids, concurrency, options.seconds) for concurrency in options.concurrency]


def _run(system: System, token: str, vehicle_ids: list[str], concurrency: int, seconds: float) -> Run:
    before = _usage(system)
    measured = uvloop.run(drive(system.url, token, vehicle_ids, concurrency, seconds))
    after = _usage(system)
    usage = {
        name: Usage(now.cpu_seconds - before[name].cpu_seconds, now.peak_bytes)
        for name, now in after.items()
        if name in before
    }
    return Run(measured, usage)


def _usage(system: System) -> dict[str, Usage]:
    return server_usage({name: process.pid for name, process in system.processes.items() if process.running})


def _violations(system: System, command_ids: list[str]) -> list[str]:
    """Promises over every command that counted: handed over exactly once, and ended `completed` with its responses."""
    executed = Counter(entry.command_id for entry in read_ledger(system.ledger) if entry.event == EXECUTED)
    violations = [f"{one} was executed {executed[one]} times" for one in command_ids if executed[one] != 1]
    counted = set(command_ids)
    with system.client() as client:
        ours = client.get("/api/v1/auth/me").raise_for_status().json()["user_id"]
        cursor: str | None = ""
        while cursor is not None:
            page = _page(client, ours, cursor)
            for command in page["items"]:
                if command["command_id"] in counted and (command["status"], command["responses"]) != ("completed", 3):
                    violations.append(f"{command['command_id']} is {command['status']}")
                counted.discard(command["command_id"])
            cursor = page["next_cursor"] if counted else None
        verification = client.get("/api/v1/audit/verification", timeout=300).json()
        if not verification["intact"]:
            violations.append(f"audit chain: {verification['reason']}")
    return violations + [f"{one} is not listed" for one in counted]


def _page(client: httpx.Client, user_id: str, cursor: str) -> dict[str, Any]:
    more = {"cursor": cursor} if cursor else {}
    answer = client.get("/api/v1/commands", params={"user_id": user_id, "limit": 200, **more})
    answer.raise_for_status()
    page: dict[str, Any] = answer.json()
    return page


def _print_table(console: Console, title: str, runs: list[Run]) -> None:
    table = Table(title=f"history: {title}; CPU in ms per command, memory peak in MB")
    table.add_column("", no_wrap=True)
    for run in runs:
        table.add_column(f"{run.measured.concurrency}", justify="right")
    table.add_row("commands/s", *(f"{run.measured.per_second:,.0f}" for run in runs))
    for share in (0.5, 0.95, 0.99):
        values = (f"{1000 * run.measured.percentile(share):.1f}" for run in runs)
        table.add_row(f"p{round(share * 100)} ms", *values)
    table.add_row("errors", *(str(len(run.measured.errors)) for run in runs), end_section=True)
    for name in runs[0].usage:
        cells = (f"{run.cpu_ms_per_command(name):.2f} · {run.usage[name].peak_bytes / 1e6:,.0f}" for run in runs)
        table.add_row(name, *cells)
    table.add_row("busiest", *(run.busiest for run in runs))
    console.print(table)


def _print_summary(
    console: Console,
    runs: list[Run],
    at_rest: dict[str, int],
    idle_socket: float,
    violations: list[str],
    errors: list[str],
) -> None:
    rest = ", ".join(f"{name} {memory / 1e6:.0f} MB" for name, memory in at_rest.items())
    console.print(f"memory at rest: {rest}")
    console.print(f"an idle WebSocket: {idle_socket / 1000:.1f} KB in the gateway")
    total = sum(len(run.measured.command_ids) for run in runs)
    console.print(f"promises checked over {total:,} commands: {len(violations)} violations, {len(errors)} errors")
    for line in [*violations, *errors][:20]:
        console.print(f"  {line}", style="red")
    console.print(f"the bottleneck at {runs[-1].measured.concurrency}: {runs[-1].busiest}")


def _print_idle_vehicles(console: Console, what: str, idle: IdleVehicles) -> None:
    """Each has a connection of its own."""
    console.print(
        f"{what}: {idle.bytes_each / 1000:.1f} KB in the connector, which takes "
        f"{idle.resident_bytes / 1e6:.0f} MB with {idle.vehicles:,} (at most {MOST_MEGABYTES} are allowed with 5,000)"
    )


def _as_json(run: Run) -> dict[str, Any]:
    measured = run.measured
    return {
        "concurrency": measured.concurrency,
        "commands": len(measured.latencies),
        "commands_per_second": measured.per_second,
        **{f"p{round(share * 100)}_ms": 1000 * measured.percentile(share) for share in (0.5, 0.95, 0.99)},
        "errors": len(measured.errors),
        "cpu_ms_per_command": {name: run.cpu_ms_per_command(name) for name in run.usage},
        "peak_bytes": {name: usage.peak_bytes for name, usage in run.usage.items()},
        "busiest": run.busiest,
    }


if __name__ == "__main__":
    main()
