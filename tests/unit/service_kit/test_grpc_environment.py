"""gRPC's core reads its environment once, when it is loaded; service_kit sets it."""

import os
import subprocess
import sys

import pytest

PROGRAMS = [
    "command_service",
    "embedded",
    "gateway",
    "vehicle_agent",
    "vehicle_connector",
    "vehicle_simulator",
]
_TELL_WHAT_THE_CORE_WILL_READ = """
import importlib, os, sys

class Before:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc._cython":
            print(os.environ.get("GRPC_VERBOSITY"), os.environ.get("GRPC_EXPERIMENTS"))

sys.meta_path.insert(0, Before())
importlib.import_module(sys.argv[1] + ".__main__")
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_is_set_before_a_program_loads_grpc(program: str) -> None:
    assert _read_by_the_core(program) == "NONE -event_engine_client,-event_engine_listener\n"


def test_an_operator_has_the_last_word() -> None:
    told = _read_by_the_core("gateway", GRPC_VERBOSITY="ERROR", GRPC_EXPERIMENTS="fuse_filters")
    assert told == "ERROR fuse_filters\n"


def _read_by_the_core(program: str, **environment: str) -> str:
    # Less what the tests' own process was given when it loaded service_kit.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    asked = [sys.executable, "-c", _TELL_WHAT_THE_CORE_WILL_READ, program]
    return subprocess.run(
        asked, env={**ours, **environment}, capture_output=True, text=True, check=True, timeout=60
    ).stdout
