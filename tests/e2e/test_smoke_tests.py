"""scripts/smoke_tests.sh against everything in one process and against the separate processes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_embedded import running as running_embedded
from tests.support.system import ENGINEER, ROOT, System, running
from vehicle_simulator.vins import fleet_vins

pytestmark = pytest.mark.timeout(180)

ASSET = "assets/index-B3k9_dEf.js"
ORIGIN = "https://pages.example.com"


def smoke(url: str, **more: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the result of each check."""
    username, password = ENGINEER
    environment = {"API_BASE_URL": url, "SMOKE_USERNAME": username, "SMOKE_PASSWORD": password, **more}
    ran = subprocess.run(
        [ROOT / "scripts/smoke_tests.sh"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert password not in ran.stdout + ran.stderr
    lines = [line.partition("  ") for line in ran.stdout.splitlines() if line[:4] in ("PASS", "FAIL", "SKIP")]
    assert ran.stdout.splitlines()[-1].startswith(f"{sum(line[0] == 'PASS' for line in lines)} passed, ")
    return ran.returncode, {name.partition(":")[0]: result for result, _, name in lines}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """What a production build of the web interface looks like to others."""
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    page = f'<!doctype html><script type="module" src="/{ASSET}"></script><div id="root"></div>'
    (tmp_path / "dist" / "index.html").write_text(page)
    (tmp_path / "dist" / ASSET).write_text("export {};")
    return tmp_path / "dist"


def test_everything_in_one_process(pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_DIRECTORY", str(pages))
    with running_embedded(tmp_path) as embedded:
        code, results = smoke(embedded.url)
    assert set(results.values()) == {"PASS"}, results
    assert (code, len(results)) == (0, 12)


@pytest.fixture
def system(postgres_url: str, rabbitmq_url: str, redis_url: str, tmp_path: Path, pages: Path) -> Iterator[System]:
    settings = {"WEB_DIRECTORY": str(pages), "CORS_ORIGINS": ORIGIN}
    with running(System(postgres_url, rabbitmq_url, redis_url, tmp_path, vehicles=1, settings=settings)) as started:
        yield started


def test_the_separate_processes_and_each_away(system: System) -> None:
    given = {"CORS_ORIGIN": ORIGIN, "SMOKE_VIN": fleet_vins(1)[0], "SMOKE_TIMEOUT": "5"}
    code, results = smoke(system.url, **given)
    assert set(results.values()) == {"PASS"}, results
    assert (code, len(results)) == (0, 13)
    assert smoke(system.url, **given, SMOKE_USERNAME="")[1]["log in and send a command"] == "SKIP"

    def failures(**more: str) -> set[str]:
        code, results = smoke(system.url, **given | more)
        assert code == 1
        return {name for name, result in results.items() if result == "FAIL"}

    assert failures(CORS_ORIGIN="https://elsewhere.example") == {"CORS preflight of https"}
    assert failures(SMOKE_PASSWORD="engineer1234") == {"log in as engineer"}
    system.processes["vehicle_connector"].kill()
    assert failures() == {"its answers over the WebSocket"}
    system.processes["command_service"].kill()
    assert {"ready", "send a command"} <= failures()
    system.processes["gateway"].kill()
    assert {"alive", "ready", "web page", "web assets", "metrics", "log in as engineer"} <= failures()
