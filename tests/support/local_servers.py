"""Private throw-away PostgreSQL, RabbitMQ and Redis, started from the binaries on this machine.

Each server has a directory and a port of its own, keeps both over a restart, and ends with the process that started it,
however that ends: a guard process reads a pipe from its owner and ends the server when the pipe closes.
"""

import contextlib
import getpass
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import psutil

from tests.support.programs import CannotStart, find_binary

START_SECONDS = 90.0
USER = "sovd"
PASSWORD = "sovd"
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 6 << 30

# Ends what the newest line on its input names, once its input is closed; then removes the directory.
_GUARD = """
while read -r line; do pids=$line; done
for pid in $pids; do kill -"$1" "$pid" 2>/dev/null; done
for pid in $pids; do n=0; while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1; done; done
rm -rf "$2"
"""
_given_ports: set[int] = set()
_PORTS = range(15_000, 32_000)
_random = random.SystemRandom()  # a test that seeds the common one would make its process give others' ports


def free_port() -> int:
    """A port nobody listens on, below those that outgoing connections take: it stays ours while a server restarts.

    Never the same twice, nor one that a test process beside this one may give: between being given and being listened
    on, a port looks free.
    """
    ours = ports_to_give()
    while True:
        port = _random.choice(ours)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


def ports_to_give() -> range:
    """Those of this test process, in one piece, for who takes some in a row."""
    each = len(_PORTS) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = worker * each % (len(_PORTS) - each + 1)  # who takes a dead one's place has a number beyond all
    return _PORTS[first : first + each]


def memory_directory() -> Path | None:
    """Where files are kept in memory; nothing where there is not enough of it for the servers of all test processes.

    Databases that come and go with each test cost the processor half of what they do on a disk, and killed processes
    lose no more: only a machine that loses its power would.
    """
    if not os.access(_MEMORY, os.W_OK):
        return None
    free = min(psutil.disk_usage(str(_MEMORY)).free, psutil.virtual_memory().available)
    return _MEMORY if free >= _MEMORY_BYTES else None


class LocalServer(ABC):
    """A server process that can be stopped, killed, paused and started again on the same port and data."""

    url: str
    stop_signal = signal.SIGTERM
    end_signal = "KILL"  # how the guard ends it

    def __init__(self, name: str, parent: Path | None = None, account: str | None = None) -> None:
        """`parent`: where its directory is made; without, where temporary files go."""
        self.name = name
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"sovd-{name}-", dir=parent))
        self._account = account
        if account is not None:
            shutil.chown(self.directory, account)
        self._log = self.directory / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", self.end_signal, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves clients now."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it serves clients."""
        if self.running:
            return
        with self._log.open("ab") as log:
            self._process = self._run(self.command(), log)
        self._tell_guard()
        wait_until(self.answers, START_SECONDS, lambda: self.running, self._failure)

    def stop(self) -> None:
        """Stop it as its operator would."""
        if self._process is not None and self.running:
            self._process.send_signal(self.stop_signal)
            self._process.wait(START_SECONDS)
        self._tell_guard()

    def kill(self) -> None:
        """kill -9 of all its processes."""
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait(START_SECONDS)
        self._tell_guard()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """It hangs: connections stay open, nothing is answered."""
        self._signal_tree(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_tree(signal.SIGCONT)

    def close(self) -> None:
        """End it for good and remove its data."""
        self.resume()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        for process in (self._process, *self._helpers):
            if process is not None:
                process.wait(START_SECONDS)
        self._guard.wait(START_SECONDS)

    def _run(self, command: Sequence[str], log: "IO[bytes]") -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            _as_account(self._account, command),
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which then end the server
        )

    def _tree(self) -> list[psutil.Process]:
        if self._process is None or not self.running:
            return []
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _signal_tree(self, number: signal.Signals) -> None:
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _tell_guard(self) -> None:
        assert self._guard.stdin is not None
        processes = [self._process, *self._helpers]
        pids = [str(process.pid) for process in processes if process is not None and process.poll() is None]
        self._guard.stdin.write(f"{' '.join(pids)}\n".encode())
        self._guard.stdin.flush()

    def _failure(self) -> CannotStart:
        ended = None if self._process is None else self._process.poll()
        state = "it runs, but does not answer" if ended is None else f"it ended with {ended}"
        return CannotStart(f"{self.name} did not start, {state}: {self._log.read_text(errors='replace')[-2000:]}")


def wait_until(
    ready: Callable[[], bool], seconds: float, alive: Callable[[], bool], failure: Callable[[], Exception]
) -> None:
    """Polls `ready`; raises `failure()` when it is not ready in time or no longer alive."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not alive() or time.monotonic() > deadline:
            raise failure()
        time.sleep(0.05)


class LocalPostgres(LocalServer):
    """PostgreSQL with fsync on."""

    stop_signal = signal.SIGINT  # disconnects its clients instead of waiting for them
    end_signal = "QUIT"  # at once, and removes its shared memory, which KILL leaves behind

    def __init__(self, parent: Path | None = None) -> None:
        self._bin = Path(find_binary("postgres")).parent
        super().__init__("postgres", parent, account=_unprivileged_account())
        self.url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        self._data = self.directory / "data"
        password_file = self.directory / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)  # in a directory that only the server's account can enter
        options = ["-U", USER, f"--pwfile={password_file}", "-A", "password", "-E", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            _as_account(self._account, [str(self._bin / "initdb"), "-D", str(self._data), *options]),
            cwd=self.directory,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise CannotStart(f"initdb failed: {done.stderr[-2000:]}")

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "256MB",
            "fsync": "on",
            "max_wal_size": "4GB",
        }
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self._data), *arguments]

    def answers(self) -> bool:
        probe = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, stdin=subprocess.DEVNULL).returncode == 0


class LocalRedis(LocalServer):
    """Redis without persistence."""

    def __init__(self, parent: Path | None = None) -> None:
        self._binary = find_binary("redis-server")
        super().__init__("redis", parent)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [self._binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        return exchange(self.port, b"PING\r\n").startswith(b"+PONG")


class LocalRabbit(LocalServer):
    """RabbitMQ with a name, data, ports and a port mapper (epmd) of its own, and no plugins."""

    def __init__(self, parent: Path | None = None) -> None:
        self._binary = find_binary("rabbitmq-server")
        super().__init__("rabbitmq", parent)
        self.url = f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/"
        self.node = f"sovd{self.port}@localhost"
        self._mapper_port, self._distribution_port = free_port(), free_port()
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\n"
            "log.file = false\nlog.console = true\nlog.console.level = warning\n"
            "vm_memory_high_watermark.absolute = 768MB\ndisk_free_limit.absolute = 50MB\n"
        )

    def start(self) -> None:
        if not self._helpers:
            mapper = [erlang_tool("epmd"), "-port", str(self._mapper_port), "-address", "127.0.0.1"]
            with self._log.open("ab") as log:
                self._helpers.append(self._run(mapper, log))
        super().start()

    def command(self) -> Sequence[str]:
        return [self._binary]

    def environment(self) -> dict[str, str]:
        others = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        no_busy_waiting = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
        return others | {
            "HOME": str(self.directory),  # the cluster's secret lies there
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{127,0,0,1}} {no_busy_waiting}",
            # These two make the start script become the server instead of waiting for it.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
        }

    def answers(self) -> bool:
        return exchange(self.port, b"AMQP\x00\x00\x09\x01") != b""

    def evaluate(self, expression: str) -> None:
        """Run an Erlang expression in the server; a few milliseconds, where rabbitmqctl takes seconds."""
        cookie = (self.directory / ".erlang.cookie").read_text()
        done = subprocess.run(
            [erlang_tool("erl_call"), "-c", cookie, "-n", self.node, "-e"],
            env=self.environment(),
            input=f"{expression}.\n",
            capture_output=True,
            text=True,
        )
        if not done.stdout.startswith("{ok"):
            raise RuntimeError(f"RabbitMQ refused {expression}: {done.stdout}{done.stderr}")


def erlang_tool(name: str) -> str:
    """A tool of the Erlang that RabbitMQ runs on; not every installation puts it on the PATH."""
    found = shutil.which(name)
    erlang = shutil.which("erl")
    if found is None and erlang is not None:
        found = shutil.which(name, path=str(Path(erlang).resolve().parent))
    if found is None:
        raise CannotStart(f"Erlang's {name} is not installed")
    return found


def exchange(port: int, request: bytes) -> bytes:
    """The first bytes of the answer to a request; nothing where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""


def _as_account(account: str | None, command: Sequence[str]) -> Sequence[str]:
    """Not by Popen's `user`: for that it copies this process with gRPC's locks as they are, and many a copy crashes
    before it becomes the command.
    """
    return command if account is None else ["setpriv", f"--reuid={account}", *command]


def _unprivileged_account() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise CannotStart(f"PostgreSQL does not run as {getpass.getuser()} and there is no other account")
