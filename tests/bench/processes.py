"""What processes use: CPU seconds and peak memory, of ours and of the servers behind them."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# What a server's processes are called.
_SERVERS = {"postgres": "postgres", "redis-server": "redis", "beam.smp": "rabbitmq"}


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float
    peak_bytes: int


def server_usage(services: Mapping[str, int]) -> dict[str, Usage]:
    """Of the services (name → process id), this client, and the servers that were started for it here (none where they
    were given by URL or run in containers)."""
    usage = {name: _usage_of(psutil.Process(pid)) for name, pid in services.items()}
    totals: dict[str, list[Usage]] = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            server = _SERVERS.get(process.name())
            if server is not None:
                totals.setdefault(server, []).append(_usage_of(process))
    for server, parts in totals.items():
        usage[server] = Usage(sum(part.cpu_seconds for part in parts), max(part.peak_bytes for part in parts))
    usage["client"] = _usage_of(psutil.Process(os.getpid()))
    return usage


def resident_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _usage_of(process: psutil.Process) -> Usage:
    times = process.cpu_times()
    return Usage(times.user + times.system, _peak(process.pid) or int(process.memory_info().rss))


def _peak(pid: int) -> int:
    """The high-water mark as Linux keeps it; 0 elsewhere."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
