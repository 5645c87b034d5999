"""create_aws_secrets.sh, rotate_secret.sh and rotate_vehicle_authority.sh, with an `aws` and a `kubectl` that keep what
they are told in files."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import CertificateFiles

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
    assert len(values) == len(set(values)) == 6
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
    assert len(set(before) & set(filled.values())) == 5


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


# --- what vehicles are known by


def authority(directory: Path) -> Path:
    """A folder as the scripts take it."""
    directory.mkdir()
    files = CertificateFiles.make(directory)
    files.vehicle_ca.rename(directory / "vehicle-ca.pem")
    files.vehicle_ca_key.rename(directory / "vehicle-ca.key")
    files.server_cert.rename(directory / "connector.pem")
    files.server_key.rename(directory / "connector.key")
    return directory


@pytest.fixture
def old(filled: Cloud, tmp_path: Path) -> Path:
    """In use."""
    folder = authority(tmp_path / "old")
    ran = filled.run("create_aws_secrets.sh", "staging", "eu-central-1", str(folder))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("is there, left as it is") == 4
    return folder


def texts(folder: Path, *names: str) -> list[str]:
    return [(folder / name).read_text() for name in names]


def test_what_vehicles_are_known_by_is_kept_as_it_is_given(filled: Cloud, old: Path) -> None:
    ca, ca_key, shown, shown_key = texts(old, "vehicle-ca.pem", "vehicle-ca.key", "connector.pem", "connector.key")
    assert filled.secret("vehicle-ca") == {"certificate": ca, "key": ca_key}
    assert filled.secret("vehicle-tls") == {"certificate": shown, "key": shown_key, "vehicle_authority": ca}


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ({"connector.pem": None}, "connector.pem: is no certificate"),
        ({"vehicle-ca.key": "none"}, "vehicle-ca.key: is no private key without a passphrase"),
        ({"connector.key": "vehicle-ca.key"}, "connector.key: is not the key of"),
    ],
)
def test_what_does_not_belong_together_is_not_kept(
    cloud: Cloud, tmp_path: Path, spoil: dict[str, str | None], complaint: str
) -> None:
    folder = authority(tmp_path / "folder")
    for name, other in spoil.items():
        text = (folder / other).read_text() if other and (folder / other).exists() else other
        (folder / name).unlink() if text is None else (folder / name).write_text(text)
    ran = cloud.run("create_aws_secrets.sh", "staging", "eu-central-1", str(folder))
    assert ran.returncode == 2
    assert complaint in ran.stderr
    assert cloud.calls("aws") == ""


def test_an_authority_takes_anothers_place(filled: Cloud, old: Path, tmp_path: Path) -> None:
    new = authority(tmp_path / "new")
    script, place = "rotate_vehicle_authority.sh", ("staging", "eu-central-1")
    (old_ca,), (new_ca, new_key) = texts(old, "vehicle-ca.pem"), texts(new, "vehicle-ca.pem", "vehicle-ca.key")
    shown = filled.secret("vehicle-tls")
    for _ in range(2):  # cut off in the middle, it may be done again
        assert filled.run(script, *place, "announce", str(new)).returncode == 0
        assert filled.secret("vehicle-tls") == shown | {"vehicle_authority": f"{old_ca.rstrip()}\n{new_ca}"}
        assert filled.secret("vehicle-ca")["certificate"] == old_ca
    assert filled.run(script, *place, "retire").returncode != 0
    assert filled.run(script, *place, "switch").returncode == 0
    assert filled.secret("vehicle-ca") == {"certificate": new_ca, "key": new_key}
    assert filled.run(script, *place, "retire").returncode == 0
    assert filled.secret("vehicle-tls") == shown | {"vehicle_authority": new_ca}
    steps = re.findall(r"annotate externalsecret \S+|rollout restart .*\(.*?\)", filled.calls("kubectl"))
    trusted, issued = (
        [f"annotate externalsecret sovd-webapp-{secret}", f"{restart} ({component})"]
        for restart in ["rollout restart deployment --selector app.kubernetes.io/component in"]
        for secret, component in (("vehicle-tls", "vehicle-connector"), ("vehicle-ca", "command-service"))
    )
    assert steps == [*trusted, *trusted, *issued, *trusted]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("switch",), "begin with announce"),
        (("announce",), "the FOLDER of the new authority is missing"),
        (("announce", "old"), "it is the authority that is used"),
        (("explode",), "must be announce, switch or retire"),
        (("retire", "old"), "usage: "),
    ],
)
def test_an_authority_is_not_changed_by_mistake(
    filled: Cloud, old: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    before = filled.values()
    given = [str(old) if argument == "old" else argument for argument in arguments]
    ran = filled.run("rotate_vehicle_authority.sh", "staging", "eu-central-1", *given)
    assert ran.returncode != 0
    assert complaint in ran.stderr
    assert filled.values() == before
    assert "rollout" not in filled.calls("kubectl")
