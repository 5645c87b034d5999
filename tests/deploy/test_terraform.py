"""Where Terraform and the chart have to agree. (terraform fmt and checkov: make check.)"""

import re

import pytest

from tests.deploy.chart import NAMESPACE, PRODUCTION, ROOT, Rendered, render
from tests.deploy.test_chart_renders import REQUIRED

AWS = ROOT / "deploy/terraform/aws"
TEXT = "\n".join(file.read_text() for file in sorted(AWS.glob("*.tf")))
HELM_VALUES = re.search(r'output "helm_values" \{.*?\n\}\n', TEXT, re.DOTALL)


@pytest.mark.parametrize("value", [name for name in REQUIRED if name != "image.tag"])
def test_it_prints_every_value_that_production_needs(value: str) -> None:
    assert HELM_VALUES
    path = r"\b.*?\b".join(map(re.escape, value.split(".")))
    assert re.search(rf"\b{path}\b\s*=", HELM_VALUES[0], re.DOTALL)


def test_the_accounts_that_read_secrets_are_those_of_the_chart(production: Rendered) -> None:
    with_roles = {
        each["metadata"]["name"]
        for each in production.of_kind("ServiceAccount")
        if "eks.amazonaws.com/role-arn" in each["metadata"].get("annotations", {})
    }
    trusted = re.findall(r'"system:serviceaccount:\$\{var\.namespace\}:([a-z-]+)"', TEXT)
    assert with_roles == set(trusted)
    assert f'default     = "{NAMESPACE}"' in TEXT


def test_there_is_a_registry_for_every_image(production: Rendered, local: Rendered) -> None:
    images = {
        container["image"].rpartition("sovd-webapp/")[2].partition(":")[0]
        for chart in (production, local)
        for workload in chart.workloads
        for container in workload.containers
        if "sovd-webapp/" in container["image"]
    }
    repositories = re.search(r'resource "aws_ecr_repository".*?toset\(\[(.*?)\]\)', TEXT, re.DOTALL)
    assert repositories
    # The agent runs beside vehicles, in no cluster.
    assert set(re.findall(r'"([a-z-]+)"', repositories[1])) == images | {"vehicle-agent"}


def test_the_role_may_read_the_secrets_that_the_chart_reads(production: Rendered) -> None:
    external = production.get("ExternalSecret", "sovd-webapp-external-secrets")["spec"]["data"]
    read = {each["remoteRef"]["key"].rpartition("/")[2] for each in external}
    named = re.search(r"secrets = toset\(\[(.*?)\]\)", TEXT)
    assert named
    assert set(re.findall(r'"([a-z]+)"', named[1])) == read
    assert 'name = "sovd/${var.environment}/${each.key}"' in TEXT
    of_vehicles = render(PRODUCTION, "externalSecrets.vehicleTls=true").of_kind("ExternalSecret")
    more = {one["remoteRef"]["key"] for each in of_vehicles for one in each["spec"]["data"]}
    assert {name.rpartition("/")[2] for name in more} - read == {"vehicle-ca", "vehicle-tls"}
    assert ":secret:sovd/${var.environment}/vehicle-*" in TEXT


def test_stores_are_open_on_the_ports_that_the_chart_opens(production: Rendered) -> None:
    ports = {
        port["port"]
        for component in ("gateway", "command-service", "vehicle-connector")
        for rule in production.get("NetworkPolicy", f"sovd-webapp-{component}")["spec"]["egress"]
        if any("ipBlock" in peer for peer in rule["to"])
        for port in rule["ports"]
    }
    stores = re.search(r"stores = \{(.*?)\}", TEXT)
    assert stores
    assert ports <= {int(port) for port in re.findall(r"\d+", stores[1])}


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_both_environments_set_variables_that_are_there(environment: str) -> None:
    text = (AWS / f"environments/{environment}.tfvars").read_text()
    declared = set(re.findall(r'^variable "(\w+)"', TEXT, re.MULTILINE))
    without_default = {
        name
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', TEXT, re.MULTILINE | re.DOTALL)
        if not re.search(r"^  default ", body, re.MULTILINE)
    }
    given = set(re.findall(r"^(\w+)\s*=", text, re.MULTILINE))
    assert given <= declared
    assert without_default - given == {"host", "certificate_arn"}
    assert all(name in text.partition("\n")[0] for name in without_default - given)
    assert f'environment             = "{environment}"' in text
