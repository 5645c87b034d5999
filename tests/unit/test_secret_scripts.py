"""create_aws_secrets.sh and rotate_secret.sh, with an `aws` and a `kubectl` that keep what they are told in files."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

AWS = r"""#!/usr/bin/env bash
# Secrets are files; every call is recorded as it came, what came on standard input is not.
set -eu
echo "$*" >> "$FAKE/aws.calls"
while [ $# -gt 0 ]; do
  case $1 in
    --secret-id | --name) file="$FAKE/secrets/${2//\//_}"; shift ;;
    *-secret | *-secret-value) action=$1 ;;
  esac
  shift
done
missing() { echo "An error occurred (ResourceNotFoundException)" >&2; exit 254; }
[ ! -e "$FAKE/denied" ] || { echo "An error occurred (AccessDeniedException)" >&2; exit 254; }
case $action in
  describe-secret) [ -e "$file" ] || missing; echo '{"Name": "it"}' ;;
  create-secret) [ ! -e "$file" ]; cat > "$file"; echo '{"ARN": "arn"}' ;;
  get-secret-value) cat "$file" || missing ;;
  put-secret-value) cat > "$file.new"; mv "$file.new" "$file" ;;
esac
"""
KUBECTL = r"""#!/usr/bin/env bash
set -eu
echo "$*" >> "$FAKE/kubectl.calls"
case $* in
  *"annotate externalsecret"*) echo x >> "$FAKE/version" ;;
  *"get secret"*) wc -l < "$FAKE/version" ;;
esac
"""
SECRETS = {
    "database": {"password"},
    "redis": {"password"},
    "rabbitmq": {"password"},
    "jwt": {
        "secret",
        "previous_secrets",
        "service_token",
        "service_previous_tokens",
        "vehicle_credential_secret",
        "initial_admin_password",
    },
}


class Cloud:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "secrets").mkdir()
        (directory / "version").touch()
        for name, text in {"aws": AWS, "kubectl": KUBECTL}.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        ran = subprocess.run(
            [ROOT / "scripts" / script, *arguments],
            env={"PATH": f"{self.directory}:{os.environ['PATH']}", "FAKE": str(self.directory), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = ran.stdout + ran.stderr + self.calls("aws") + self.calls("kubectl")
        for secret in self.values():
            assert secret not in said, "a secret was told"
        return ran

    def calls(self, tool: str) -> str:
        file = self.directory / f"{tool}.calls"
        return file.read_text() if file.exists() else ""

    def secret(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "secrets" / f"sovd_staging_{name}").read_text())
        return content

    def values(self) -> list[str]:
        files = (self.directory / "secrets").iterdir()
        return [value for file in files for value in json.loads(file.read_text()).values() if value]


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


@pytest.fixture
def filled(cloud: Cloud) -> Cloud:
    assert cloud.run("create_aws_secrets.sh", "staging", "eu-central-1").returncode == 0
    return cloud


def test_what_is_made(filled: Cloud) -> None:
    for name, keys in SECRETS.items():
        assert set(filled.secret(name)) == keys
    values = filled.values()
    assert len(values) == len(set(values)) == 7
    assert all(re.fullmatch("[0-9a-f]{32,}", value) for value in values)
    assert len(filled.secret("jwt")["secret"]) == 96
    assert all("--region eu-central-1" in call for call in filled.calls("aws").splitlines())


def test_a_second_time_changes_nothing(filled: Cloud) -> None:
    before = filled.values()
    (filled.directory / "secrets" / "sovd_staging_redis").unlink()
    ran = filled.run("create_aws_secrets.sh", "staging", "eu-central-1")
    assert ran.returncode == 0
    assert ran.stdout.count("is there, left as it is") == 3
    assert "sovd/staging/redis: made" in ran.stdout
    assert len(set(before) & set(filled.values())) == 6


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "usage: "),
        (("staging", "Frankfurt"), "region 'Frankfurt': must be a region such as eu-central-1"),
        (("../production", "eu-central-1"), "environment '../production': must be a name"),
    ],
)
def test_bad_use(cloud: Cloud, arguments: tuple[str, ...], complaint: str) -> None:
    ran = cloud.run("create_aws_secrets.sh", *arguments)
    assert ran.returncode == 2
    assert complaint in ran.stderr
    assert cloud.calls("aws") == ""


def test_what_may_not_be_asked_is_not_made(cloud: Cloud) -> None:
    (cloud.directory / "denied").touch()
    ran = cloud.run("create_aws_secrets.sh", "staging", "eu-central-1")
    assert ran.returncode == 2
    assert "AccessDenied" in ran.stderr
    assert "create-secret" not in cloud.calls("aws")


@pytest.mark.parametrize(
    ("which", "current", "previous", "verify", "use"),
    [
        ((), "secret", "previous_secrets", "gateway", "gateway"),
        (("jwt",), "secret", "previous_secrets", "gateway", "gateway"),
        (
            ("service-token",),
            "service_token",
            "service_previous_tokens",
            "command-service",
            "gateway,vehicle-connector",
        ),
    ],
)
def test_a_rotation(filled: Cloud, which: tuple[str, ...], current: str, previous: str, verify: str, use: str) -> None:
    first = filled.secret("jwt")
    assert filled.run("rotate_secret.sh", "staging", "eu-central-1", "announce", *which).returncode == 0
    announced = filled.secret("jwt")
    assert len(announced[previous]) == 96
    assert announced == first | {previous: announced[previous]}
    assert filled.run("rotate_secret.sh", "staging", "eu-central-1", "switch", *which).returncode == 0
    switched = filled.secret("jwt")
    assert switched == announced | {current: announced[previous], previous: first[current]}
    assert filled.run("rotate_secret.sh", "staging", "eu-central-1", "retire", *which).returncode == 0
    assert filled.secret("jwt") == switched | {previous: ""}
    # Each time those pods that have to know get it, and have it, before it goes on.
    steps = re.findall(r"annotate externalsecret|rollout \w+ .*component in \(.*?\)", filled.calls("kubectl"))
    told = "deployment --selector app.kubernetes.io/component in"
    assert steps == [
        step
        for pods in (verify, use, verify)
        for step in ("annotate externalsecret", f"rollout restart {told} ({pods})", f"rollout status {told} ({pods})")
    ]


def test_the_whole_rotation_at_once(filled: Cloud) -> None:
    first = filled.secret("jwt")
    assert filled.run("rotate_secret.sh", "staging", "eu-central-1", "all", WAIT_SECONDS="0").returncode == 0
    last = filled.secret("jwt")
    assert last["secret"] != first["secret"]
    assert last == first | {"secret": last["secret"]}


@pytest.mark.parametrize("step", ["switch", "all", "explode"])
def test_steps_out_of_order(filled: Cloud, step: str) -> None:
    if step == "all":
        assert filled.run("rotate_secret.sh", "staging", "eu-central-1", "announce").returncode == 0
    before = filled.secret("jwt")
    rolled = filled.calls("kubectl").count("rollout restart")
    ran = filled.run("rotate_secret.sh", "staging", "eu-central-1", step)
    assert ran.returncode != 0
    assert ran.stderr.strip()
    assert filled.secret("jwt") == before
    assert filled.calls("kubectl").count("rollout restart") == rolled
