"""scripts/deployment_test.sh from its first step to its report: the real services behind a cluster that is played."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.test_embedded import running
from tests.e2e.test_smoke_tests import pages as pages
from tests.support.local_servers import free_port
from tests.support.system import ROOT
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

TARGETS = {
    "Helm installs the release": "300 s",
    "The migration comes before the pods": "60 s",
    "The slowest pod is ready": "60 s",
    "Readiness answers": "0.2 s",
    "Smoke tests": "30 s",
    "A command and its answers": "5 s",
    "The first event over a WebSocket": "1 s",
    "Load scales the gateways from 3 to 5": "300 s",
    "Rollback under load": "180 s",
}
WITHOUT_TARGET = {
    "The services can be reached",
    "Log in",
    "Prometheus scrapes all services",
    "Dashboards are there",
    "Picture of the web page",
    "Picture of the load",
    "Upgrade under load",
    "Secret rotation under load",
    "Smoke tests, once more",  # the target is that of the first time
}
# On a machine that is busy with other tests.
DONE = {"PASS", "FAIL (too slow)"}


def run(directory: Path, target: str) -> "subprocess.CompletedProcess[str]":
    programs = directory / "bin"
    programs.mkdir()
    for tool in ("kubectl", "helm"):
        (programs / tool).write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.e2e.fake_cluster {tool} "$@"\n')
    (programs / "chromium").write_text('#!/bin/sh\nfor a; do case $a in --screenshot=*) : > "${a#*=}" ;; esac; done\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT}/services",
        "CHROMIUM": str(programs / "chromium"),
        "HOME": str(directory),
        "REPORT": str(directory / "report.md"),
        "FAKE": str(directory),
        "TARGET": target,
        "DOWN": "command-service",
        **{port: str(free_port()) for port in ("API_PORT", "WEB_PORT", "GRAFANA_PORT")},
    }
    script = ROOT / "scripts/deployment_test.sh"
    return subprocess.run([script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280)


def test_from_the_first_step_to_the_report(pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_DIRECTORY", str(pages))
    with running(tmp_path) as embedded:
        ran = run(tmp_path, embedded.url)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    report = (tmp_path / "report.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \| [\d.]+ s \| (.+?) \|$", report, re.MULTILINE)
    results = {name: result for name, _, result in rows}
    assert results.pop("Prometheus scrapes all services") == "FAIL", report
    assert set(results.values()) <= DONE, report
    targets = {name: target for name, target, _ in rows if name not in WITHOUT_TARGET}
    assert targets == TARGETS
    assert {name for name, _, _ in rows} == TARGETS.keys() | WITHOUT_TARGET
    assert "not up: ['command-service']" in report
    assert "**Not ready**" in report
    assert "](pictures/web.png)" in report
    assert (tmp_path / "pictures/web.png").exists()
    # The old secret still verifies when the new one signs.
    announced, switched = map(json.loads, (tmp_path / "secrets").read_text().splitlines())
    assert announced["jwt-secret"] == switched["jwt-previous-secrets"] == "the-old-secret"
    assert announced["jwt-previous-secrets"] == switched["jwt-secret"]
    wait_for(lambda: not forwarding(tmp_path))


def forwarding(directory: Path) -> list[int]:
    """What the script has started and left behind."""
    ours = [
        each for each in psutil.process_iter(["cmdline"]) if "tests.e2e.fake_cluster" in (each.info["cmdline"] or ())
    ]
    return [each.pid for each in ours if each.environ().get("FAKE") == str(directory)]
