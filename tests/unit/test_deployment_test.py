"""deployment_test.sh where there is no cluster: it says so and writes nothing."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/deployment_test.sh"
TOOLS = ("kubectl", "helm", "curl", "python3", "openssl", "sovd")


@pytest.mark.parametrize(("missing", "reason"), [(None, "kubectl reaches no cluster"), ("helm", "helm is missing")])
def test_without_a_cluster(tmp_path: Path, missing: str | None, reason: str) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "date", "mktemp", "bash", "env"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    for tool in TOOLS:
        if tool != missing:
            (tmp_path / "bin" / tool).write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / "bin" / tool).chmod(0o755)
    report = tmp_path / "report.md"
    ran = subprocess.run(
        ["/bin/bash", SCRIPT],
        env={"PATH": str(tmp_path / "bin"), "REPORT": str(report), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 2
    assert ran.stderr == f"deployment_test.sh: {reason}; nothing was tested and nothing written\n"
    assert not report.exists()
