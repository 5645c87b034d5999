"""What this connector holds, as it is presented to the command service, and the answers to it."""

from collections.abc import Callable, Iterable

from sovd_protos.connector.v1 import connector_pb2 as wire
from vehicle_connector.dialled_vehicles import DialledVehicles
from vehicle_connector.executor import Executor
from vehicle_connector.sessions import Sessions


class HeldHere:
    """The stream's Holder: attempts and sessions of one connector."""

    def __init__(
        self,
        connector_id: str,
        address: str,
        executor: Executor,
        sessions: Sessions,
        dialled: DialledVehicles,
        on_attached: Callable[[bool], None],
    ) -> None:
        self._connector_id = connector_id
        self._address = address
        self._executor = executor
        self._sessions = sessions
        self._dialled = dialled
        self._on_attached = on_attached

    def registration(self) -> wire.Registration:
        return wire.Registration(
            connector_id=self._connector_id,
            address=self._address,
            sessions=self._executor.open_sessions(),
            commands=self._executor.open_commands(),
        )

    def registered(self, answer: wire.Registered) -> Iterable[wire.Result]:
        self.superseded(answer.superseded)
        return self._executor.taken_up(answer.take_ups)

    def sessions_seen(self) -> Iterable[wire.SessionSeen]:
        return self._sessions.take_seen()

    def superseded(self, sessions: Iterable[wire.OpenSession]) -> None:
        for session in sessions:
            self._sessions.supersede(session.vehicle_id, session.session_epoch)

    def vehicles_not_reached(self) -> Iterable[wire.VehicleNotReached]:
        return self._dialled.not_reached()

    def acknowledged(self, acks: Iterable[wire.ResultAck]) -> None:
        self._executor.acknowledged(acks)

    def assigned(self, assignments: wire.Assignments) -> None:
        self._dialled.assign(assignments)

    def attached(self, attached: bool) -> None:
        self._on_attached(attached)
