"""skaffold.yaml and the Tiltfile: what they name is there, and they deploy what the chart has."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from tests.deploy.chart import CHART, ROOT, render, values_of
from tests.support.waiting import wait_for

SKAFFOLD = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
RELEASE = SKAFFOLD["deploy"]["helm"]["releases"][0]
IMAGES = {"gateway", "command-service", "vehicle-connector", "vehicle-simulator", "web"}
FORWARDED = {"sovd-webapp-gateway": 8000, "sovd-webapp-web": 3000, "sovd-webapp-grafana": 3001}


def test_skaffold_builds_every_image() -> None:
    artifacts = {each["image"]: each for each in SKAFFOLD["build"]["artifacts"]}
    assert set(artifacts) == {f"sovd-webapp/{image}" for image in IMAGES}
    for image, artifact in artifacts.items():
        docker = artifact["docker"]
        stages = (ROOT / docker["dockerfile"]).read_text()
        assert f" AS {docker['target']}" in stages
        if image != "sovd-webapp/web":
            assert docker["buildArgs"] == {"SERVICE": image.removeprefix("sovd-webapp/")}


def test_skaffold_synchronises_files_that_are_there() -> None:
    for artifact in SKAFFOLD["build"]["artifacts"]:
        for rule in artifact.get("sync", {}).get("manual", []):
            assert rule["src"].startswith(rule["strip"])
            assert any(ROOT.glob(rule["src"])), rule["src"]


def packages_of(service: str) -> set[str]:
    """Its own and what it imports of ours, directly or not."""
    ours = sorted(each.parent.name for each in (ROOT / "services").glob("*/__init__.py"))
    graph = grimp.build_graph(*ours, cache_dir=None)
    return {service, *(module.partition(".")[0] for module in graph.find_upstream_modules(service, as_package=True))}


def test_skaffold_synchronises_all_that_a_service_is_made_of() -> None:
    for artifact in SKAFFOLD["build"]["artifacts"]:
        if "sync" in artifact and "SERVICE" in artifact["docker"].get("buildArgs", {}):
            synchronised = {rule["src"].split("/")[1] for rule in artifact["sync"]["manual"]}
            assert synchronised == packages_of(artifact["docker"]["buildArgs"]["SERVICE"].replace("-", "_"))


def test_skaffold_puts_every_image_into_the_chart() -> None:
    values = {key: template for key, template in RELEASE["setValueTemplates"].items() if key.endswith(".repository")}
    for image in IMAGES:
        variable = f"{{{{.IMAGE_REPO_sovd_webapp_{image.replace('-', '_')}}}}}"
        (key,) = [key for key, template in values.items() if template == variable]
        assert value_at(key) == f"sovd-webapp/{image}"
        tag = RELEASE["setValueTemplates"][key.replace(".repository", ".tag")]
        assert tag == variable.replace("IMAGE_REPO", "IMAGE_TAG")


def value_at(name: str) -> Any:
    value: Any = values_of()
    for part in name.split("."):
        value = value[part]
    return value


def test_skaffold_deploys_with_files_that_are_there() -> None:
    assert (ROOT / RELEASE["chartPath"]) == CHART
    for profile in SKAFFOLD["profiles"]:
        (release,) = profile["deploy"]["helm"]["releases"]
        for file in release["valuesFiles"]:
            assert file == "{{.SOVD_ENDPOINTS}}" or (ROOT / file).is_file()
        assert release["setValueTemplates"] == RELEASE["setValueTemplates"]
    assert {profile["name"] for profile in SKAFFOLD["profiles"]} == {"local", "staging", "production"}


def test_skaffold_patches_what_is_there() -> None:
    for profile in SKAFFOLD["profiles"]:
        for patch in profile["patches"]:
            node: Any = SKAFFOLD
            for part in patch["path"].strip("/").split("/"):
                node = node[int(part) if part.isdigit() else part]


def test_skaffold_tests_with_tests_that_are_there() -> None:
    for profile in SKAFFOLD["profiles"]:
        for test in profile.get("test", []):
            assert test["image"].removeprefix("sovd-webapp/") in IMAGES
            assert (ROOT / test["custom"][0]["command"].split(" ")[-1]).is_dir()


def test_skaffold_forwards_the_ports_that_people_know() -> None:
    chart = render(tuple(Path(file).name for file in RELEASE["valuesFiles"]))
    assert {each["resourceName"]: each["localPort"] for each in SKAFFOLD["portForward"]} == FORWARDED
    for forward in SKAFFOLD["portForward"]:
        ports = {port["port"] for port in chart.get("Service", forward["resourceName"])["spec"]["ports"]}
        assert forward["port"] in ports


class Tilt:
    """Tilt's functions as the Tiltfile calls them; Starlark is close enough to Python to be run by it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = {**json.loads((ROOT / "tilt_config.json").read_text()), **settings}
        self.defined: set[str] = set()
        self.builds: dict[str, dict[str, Any]] = {}
        self.forwards: dict[str, list[str]] = {}
        self.local_resources: dict[str, dict[str, Any]] = {}
        self.charts: list[dict[str, Any]] = []

    @property
    def synchronised(self) -> list[tuple[str, str]]:
        """From where to where, of all images."""
        return [step for options in self.builds.values() for step in steps_of(options)]

    def run(self) -> "Tilt":
        define: Callable[[str], None] = self.defined.add
        config = type("config", (), {})()
        config.define_string = config.define_string_list = config.define_bool = define
        config.parse = lambda: self.settings
        given = {
            "config": config,
            "allow_k8s_contexts": lambda contexts: None,
            "docker_build": lambda name, context, **options: self.builds.update({name: options}),
            "sync": lambda source, to: (source, to),
            "fall_back_on": lambda paths: paths,
            "k8s_yaml": lambda given: None,
            "local": lambda command, quiet: command,
            "helm": lambda path, **options: self.charts.append({"path": path, **options}),
            "watch_file": lambda path: None,
            "k8s_resource": lambda name, port_forwards=(), labels=(): self.forwards.update({name: list(port_forwards)}),
            "local_resource": lambda name, **options: self.local_resources.update({name: options}),
            "TRIGGER_MODE_AUTO": "auto",
            "TRIGGER_MODE_MANUAL": "manual",
        }
        exec(compile((ROOT / "Tiltfile").read_text(), "Tiltfile", "exec"), given)
        return self


def steps_of(build: dict[str, Any]) -> list[tuple[str, str]]:
    """What is synchronised; the rest of a live update's steps are other than pairs."""
    return [step for step in build["live_update"] if isinstance(step, tuple)]


def test_tilt_knows_what_tilt_config_sets() -> None:
    tilt = Tilt().run()
    assert set(tilt.settings) <= tilt.defined


@pytest.mark.parametrize(("live_update", "target"), [(True, "development"), (False, "runtime")])
def test_tilt_builds_every_image(live_update: bool, target: str) -> None:
    tilt = Tilt(live_update=live_update).run()
    assert set(tilt.builds) == {f"sovd-webapp/{image}" for image in IMAGES}
    for options in tilt.builds.values():
        assert options["target"] == target
        assert f" AS {target}" in (ROOT / options["dockerfile"]).read_text()
        assert all((ROOT / path).exists() for path in options["only"])
        assert bool(options["live_update"]) <= live_update


def test_tilt_synchronises_what_is_there() -> None:
    tilt = Tilt().run()
    assert ("services/gateway", "/app/gateway") in tilt.synchronised
    assert all((ROOT / source).is_dir() for source, _ in tilt.synchronised)


def test_tilt_synchronises_all_that_a_service_is_made_of() -> None:
    for image, options in Tilt().run().builds.items():
        if "SERVICE" in options.get("build_args", {}) and options["live_update"]:
            synchronised = {to.removeprefix("/app/") for _, to in steps_of(options)}
            assert synchronised == packages_of(image.removeprefix("sovd-webapp/").replace("-", "_"))


def test_tilt_deploys_workloads_that_the_chart_has() -> None:
    tilt = Tilt().run()
    (chart,) = tilt.charts
    rendered = render(tuple(Path(file).name for file in chart["values"]))
    workloads = {each.manifest["metadata"]["name"]: each for each in rendered.workloads}
    assert set(tilt.forwards) <= set(workloads)
    for name, forwards in tilt.forwards.items():
        ports = {port["containerPort"] for each in workloads[name].containers for port in each.get("ports", [])}
        assert {int(forward.partition(":")[2]) for forward in forwards} <= ports
    local_ports = {forward.partition(":")[0] for forwards in tilt.forwards.values() for forward in forwards}
    assert {"8000", "3000", "3001"} <= local_ports


def test_tilt_runs_tests_that_are_there() -> None:
    for options in Tilt().run().local_resources.values():
        assert (ROOT / options["cmd"].split(" ")[-1]).exists()


def test_a_changed_file_starts_the_service_again(tmp_path: Path) -> None:
    """The loop of values-live-update.yaml, with a service that only says that it starts."""
    values = yaml.safe_load((CHART / "values-live-update.yaml").read_text())
    loop = values["gateway"]["command"][2].replace("/app", str(tmp_path)).replace("/tmp/started", f"{tmp_path}/started")
    (tmp_path / "sovd").write_text('#!/bin/sh\necho started >> "$LOG"\nexec sleep 60\n')
    (tmp_path / "sovd").chmod(0o755)
    log = tmp_path / "log"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(log)}
    with subprocess.Popen(["sh", "-c", loop], env=environment) as process:
        try:
            wait_for(lambda: log.exists() and log.read_text())
            (tmp_path / "changed.py").write_text("changed = True\n")
            wait_for(lambda: log.read_text() == "started\nstarted\n")
        finally:
            process.terminate()
        assert process.wait(10) == 0
