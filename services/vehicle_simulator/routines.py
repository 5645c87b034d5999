"""Routines (ISO 14229-1 service 0x31) of a simulated ECU."""

from collections.abc import Mapping
from dataclasses import dataclass

from vehicle_simulator.failures import (
    CONDITIONS_NOT_CORRECT,
    INCORRECT_LENGTH_OR_FORMAT,
    REQUEST_OUT_OF_RANGE,
    REQUEST_SEQUENCE_ERROR,
    SUB_FUNCTION_NOT_SUPPORTED,
    negative_response,
)


@dataclass(frozen=True, slots=True)
class Routine:
    """What an ECU can run. One with no duration is done when it is started."""

    id: int
    name: str
    duration_s: float = 0.0
    results: bytes = b"\x00"
    stoppable: bool = False
    engine_off: bool = False
    parameter_bytes: int = 0


@dataclass(slots=True)
class RoutineState:
    """How it went, as a response tells it."""

    routine: Routine
    status: str
    raw: bytes


class EcuRoutines:
    """The routines of one ECU of one vehicle: which were started, and when."""

    def __init__(self, routines: Mapping[int, Routine]) -> None:
        self._routines = routines
        self._started_at: dict[int, float] = {}
        self._stopped: set[int] = set()

    def control(
        self, routine_id: int, action: str, parameters: bytes, engine_running: bool, now: float
    ) -> RoutineState:
        routine = self._routines.get(routine_id)
        if routine is None:
            raise negative_response(REQUEST_OUT_OF_RANGE, f"routine 0x{routine_id:04X} is not known here")
        if action == "start":
            return self._start(routine, parameters, engine_running, now)
        if action == "stop":
            return self._stop(routine, now)
        if action == "requestResults":
            return self._results(routine, now)
        raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, f"{action!r}: only start, stop and requestResults")

    def reset(self) -> None:
        self._started_at.clear()
        self._stopped.clear()

    def _start(self, routine: Routine, parameters: bytes, engine_running: bool, now: float) -> RoutineState:
        if len(parameters) != routine.parameter_bytes:
            reason = f"{routine.name} takes {routine.parameter_bytes} parameter bytes, not {len(parameters)}"
            raise negative_response(INCORRECT_LENGTH_OR_FORMAT, reason)
        if routine.engine_off and engine_running:
            raise negative_response(CONDITIONS_NOT_CORRECT, f"{routine.name} needs the engine off")
        if self._is_running(routine, now):
            raise negative_response(REQUEST_SEQUENCE_ERROR, f"{routine.name} is running already")
        self._started_at[routine.id] = now
        self._stopped.discard(routine.id)
        return self._results(routine, now)

    def _stop(self, routine: Routine, now: float) -> RoutineState:
        if not routine.stoppable:
            raise negative_response(SUB_FUNCTION_NOT_SUPPORTED, f"{routine.name} cannot be stopped")
        if not self._is_running(routine, now):
            raise negative_response(REQUEST_SEQUENCE_ERROR, f"{routine.name} is not running")
        self._stopped.add(routine.id)
        return RoutineState(routine, "stopped", b"")

    def _results(self, routine: Routine, now: float) -> RoutineState:
        if routine.id not in self._started_at:
            raise negative_response(REQUEST_SEQUENCE_ERROR, f"{routine.name} was not started")
        if routine.id in self._stopped:
            return RoutineState(routine, "stopped", b"")
        if self._is_running(routine, now):
            return RoutineState(routine, "running", b"")
        return RoutineState(routine, "completed", routine.results)

    def _is_running(self, routine: Routine, now: float) -> bool:
        started_at = self._started_at.get(routine.id)
        return started_at is not None and routine.id not in self._stopped and now < started_at + routine.duration_s
