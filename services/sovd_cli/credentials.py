"""The stored log-ins: one private file, shared safely by every sovd that runs at the same time."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sovd_cli.errors import CliError, ExitCode

DEFAULT_URL = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Login:
    """The tokens of one log-in session at one server."""

    username: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(slots=True)
class Stored:
    """What the file holds: log-ins by server, so that a token is never sent to another server than its own."""

    current: str | None = None
    logins: dict[str, Login] = field(default_factory=dict)


def default_path() -> Path:
    """$SOVD_CONFIG, or sovd/credentials.json under the XDG configuration directory."""
    if chosen := os.environ.get("SOVD_CONFIG"):
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "sovd" / "credentials.json"


class CredentialStore:
    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def load(self) -> Stored:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            logins = {url: Login(**login) for url, login in document["logins"].items()}
            return Stored(document["current"], logins)
        except FileNotFoundError:
            return Stored()
        except OSError as error:
            raise self._cannot("read", error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CliError(f"{self.path} is damaged: delete it and run 'sovd login'", ExitCode.NOT_ALLOWED) from error

    def save(self, stored: Stored) -> None:
        """Replaces the file at one stroke: a reader sees the old one or the new one. Call it within `locked`."""
        document = {"current": stored.current, "logins": {url: asdict(login) for url, login in stored.logins.items()}}
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".credentials-")  # is 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            raise self._cannot("write", error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time: refresh tokens work once, so two must not present the same one."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = open(self.path.with_name(self.path.name + ".lock"), "a", opener=_private)  # noqa: SIM115
        except OSError as error:
            raise self._cannot("lock", error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _cannot(self, action: str, error: OSError) -> CliError:
        return CliError(f"cannot {action} {self.path}: {error.strerror}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
