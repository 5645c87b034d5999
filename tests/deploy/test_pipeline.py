"""The order of the pipeline: checked, then built, then deployed and tested; what fails is put back."""

from itertools import pairwise
from typing import Any

import yaml

from tests.deploy.chart import ROOT

WORKFLOWS = ROOT / ".github/workflows"
PIPELINE = yaml.safe_load((WORKFLOWS / "pipeline.yml").read_text())["jobs"]
DEPLOY = yaml.safe_load((WORKFLOWS / "deploy.yml").read_text())["jobs"]["deploy"]
ORDER = ["lint", "unit", "integration", "browser", "security", "images"]


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") + step.get("uses", "") for step in job["steps"])


def names(job: dict[str, Any]) -> list[str]:
    return [step.get("name", "") for step in job["steps"]]


def test_each_stage_waits_for_the_one_before() -> None:
    for before, stage in pairwise(ORDER):
        assert PIPELINE[stage]["needs"] == before


def test_security_looks_at_everything() -> None:
    for tool in ("pip-audit", "npm audit", "bandit", "trivy-action"):
        assert tool in commands(PIPELINE["security"])


def test_all_images_are_scanned_described_pushed_and_signed_in_this_order() -> None:
    job = PIPELINE["images"]
    images = ["gateway", "command-service", "vehicle-connector", "vehicle-simulator", "vehicle-agent", "web"]
    assert job["strategy"]["matrix"]["image"] == images
    text = commands(job)
    steps = [
        text.index(each) for each in ("build-push-action", "trivy-action", "sbom-action", "docker push", "cosign sign")
    ]
    assert steps == sorted(steps)
    assert "cosign attest" in text
    # Never what a pull request brings.
    assert job["if"] == "github.event_name == 'push'"


def test_branches_go_to_their_environments() -> None:
    for branch, environment in (("develop", "staging"), ("main", "production")):
        job = PIPELINE[environment]
        assert job["needs"] == "images"
        assert job["if"] == f"github.ref_name == '{branch}'"
        assert job["with"] == {"environment": environment}
    # There people approve.
    assert DEPLOY["environment"] == "${{ inputs.environment }}"


def test_a_deployment_is_tested_and_put_back_when_it_fails() -> None:
    order = ["Deploy", "Smoke tests, inside", "Smoke tests, outside", "Roll back"]
    assert [name for name in names(DEPLOY) if name in order] == order
    by_name = {step.get("name"): step for step in DEPLOY["steps"]}
    assert "helm rollback" in by_name["Roll back"]["run"]
    assert by_name["Roll back"]["if"].startswith("(failure() || cancelled())")
    assert "--wait" in by_name["Deploy"]["run"]
    assert "scripts/smoke_tests.sh" in by_name["Smoke tests, outside"]["run"]


def test_only_signed_images_are_deployed() -> None:
    assert commands(DEPLOY).index("cosign verify") < commands(DEPLOY).index("helm upgrade")


def test_no_job_may_more_than_it_needs() -> None:
    for name, job in PIPELINE.items():
        if "permissions" in job:
            assert job["permissions"] == {"contents": "read", "id-token": "write"}, name
    for file in WORKFLOWS.glob("*.yml"):
        assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}


def test_scripts_and_files_are_there() -> None:
    for job in (*PIPELINE.values(), DEPLOY):
        for step in job.get("steps", []):
            for word in step.get("run", "").split():
                if word.startswith(("scripts/", "charts/")):
                    assert (ROOT / word).exists(), word
