"""charts/sovd-webapp as `helm template` renders it, and what tests ask of it."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/sovd-webapp"
TOOLS = Path(os.environ.get("TOOLS", ROOT / ".tools/bin"))
RELEASE, NAMESPACE = "sovd-webapp", "sovd"
# Helm would take the version that it was built with.
KUBERNETES = "1.33.0"

LOCAL = ("values-local.yaml",)
PRODUCTION = ("values-production.yaml", "ci/production-endpoints.yaml")
# What each of the chart's value files is rendered with.
VALUE_FILES = {"default": (), "local": LOCAL, "production": PRODUCTION}

Object = dict[str, Any]


def run_tool(name: str, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    program = TOOLS / name
    assert program.exists(), f"{program} is missing: run `make tools`"
    return subprocess.run([program, *arguments], capture_output=True, text=True, input=stdin, check=False)


def helm(command: str, files: Sequence[str], *settings: str) -> "subprocess.CompletedProcess[str]":
    """`lint --strict` or `template`, with value files of the chart and `--set` for each setting."""
    what = ["lint", str(CHART), "--strict"] if command == "lint" else ["template", RELEASE, str(CHART)]
    return _helm(*what, *_values(files), *(argument for setting in settings for argument in ("--set", setting)))


@cache
def render(files: tuple[str, ...] = (), *settings: str, upgrade: bool = False) -> "Rendered":
    """With `--set-json` for each setting; fails with helm's own words. Rendered once: nobody changes it."""
    sets = [argument for setting in settings for argument in ("--set-json", setting)]
    answer = _helm("template", RELEASE, str(CHART), *_values(files), *sets, *["--is-upgrade"] * upgrade)
    assert answer.returncode == 0, answer.stderr
    return Rendered(answer.stdout)


def _helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_tool("helm", *arguments, "--namespace", NAMESPACE, "--kube-version", KUBERNETES)


def _values(files: Sequence[str]) -> list[str]:
    return [argument for file in files for argument in ("--values", str(CHART / file))]


@dataclass(frozen=True)
class Rendered:
    text: str

    @cached_property
    def objects(self) -> list[Object]:
        return [each for each in yaml.safe_load_all(self.text) if each]

    def of_kind(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def get(self, kind: str, name: str) -> Object:
        found = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}, among {self.names(kind)}"
        return found[0]

    def names(self, *kinds: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.of_kind(*kinds)}

    @cached_property
    def workloads(self) -> list["Workload"]:
        return [Workload(each) for each in self.of_kind("Deployment", "StatefulSet", "Job", "Pod")]

    def workload(self, component: str) -> "Workload":
        found = [each for each in self.workloads if each.component == component]
        assert len(found) == 1, f"{len(found)} workloads of {component}"
        return found[0]


@dataclass(frozen=True)
class Workload:
    """Whatever has pods."""

    manifest: Object

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def pod(self) -> Object:
        spec: Object = self.manifest["spec"]
        return spec if self.kind == "Pod" else spec["template"]["spec"]

    @property
    def labels(self) -> dict[str, str]:
        holder = self.manifest if self.kind == "Pod" else self.manifest["spec"]["template"]
        labels: dict[str, str] = holder["metadata"]["labels"]
        return labels

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    @property
    def container(self) -> Object:
        """The only one, but for the simulator."""
        (container,) = [each for each in self.pod["containers"] if each["name"] != "simulator"]
        found: Object = container
        return found

    @property
    def simulator(self) -> Object:
        """The container of the vehicles beside the connector's."""
        (container,) = [each for each in self.pod["containers"] if each["name"] == "simulator"]
        found: Object = container
        return found

    def environment(self, rendered: Rendered, container: Object | None = None) -> dict[str, str]:
        """Of its container unless another one is given, by name: the value, or `secret NAME/KEY`."""
        container = container or self.container
        found = dict(_from_config_maps(container, rendered))
        for each in container.get("env", []):
            found[each["name"]] = each["value"] if "value" in each else _source(each["valueFrom"])
        return found


def _from_config_maps(container: Object, rendered: Rendered) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom", []):
        yield from rendered.get("ConfigMap", source["configMapRef"]["name"])["data"].items()


def _source(value_from: Object) -> str:
    if secret := value_from.get("secretKeyRef"):
        return f"secret {secret['name']}/{secret['key']}{' optional' if secret.get('optional') else ''}"
    return f"field {value_from['fieldRef']['fieldPath']}"


def values_of(*files: str) -> Object:
    """The chart's values, with those of the files over them."""
    merged: Object = yaml.safe_load((CHART / "values.yaml").read_text())
    for file in files:
        _merge(merged, yaml.safe_load((CHART / file).read_text()))
    return merged


def _merge(into: Object, other: Object) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
