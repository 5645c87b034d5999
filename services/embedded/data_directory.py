"""Where one embedded system keeps its databases, secrets and ledgers; one process at a time."""

import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

WITH_DATABASE = ("gateway", "command_service")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made at the first start and kept, so that log-ins and vehicles survive a restart."""

    service_token: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    vehicle_credential_secret: str = field(repr=False)


class DataDirectory:
    """Raises OSError with a message for people when the directory cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def database_url(self, service: str) -> str:
        return f"sqlite:///{self.path / service}.db"

    def check_databases(self) -> None:
        """Before anything works on them. Call it within `locked`."""
        for file in (self.path / f"{service}.db" for service in WITH_DATABASE):
            if file.exists() and (damage := _damage(file)):
                raise OSError(
                    f"{file} is damaged ({damage}): put a copy of all files of {self.path} from before in their place,"
                    " or delete them to start afresh"
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps others out until the process ends, however it ends."""
        with open(self.path / "lock", "a", opener=_private) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OSError(f"another sovd runs on {self.path}: stop it, or choose another --data-dir") from None
            yield

    def secrets(self) -> Secrets:
        """Call it within `locked`."""
        path = self.path / "secrets.json"
        try:
            return Secrets(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            made = Secrets(*(secrets.token_urlsafe(48) for _ in range(3)))
        except (ValueError, TypeError) as error:
            raise OSError(f"{path} is damaged: delete it (everybody has to log in again)") from error
        # Whole or not at all: a start that is killed here leaves no half of a file.
        temporary = path.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8", opener=_private) as file:
            json.dump(asdict(made), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return made


def _damage(database: Path) -> str | None:
    """What SQLite finds wrong with the structure of the file, on one line; None: nothing."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return None  # it cannot be opened, and who needs it says why
    except sqlite3.DatabaseError as error:
        found = str(error)
    return None if found == "ok" else " ".join(found.split())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
