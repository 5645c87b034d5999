"""Random interleavings of submit, dispatch, claim, result, duplicate, loss, crash, lock, cancel and expiry."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from command_service.domain.command import ACTIVE, MAX_ATTEMPTS, WAITING, Command, Status, UnknownFate
from command_service.domain.diagnostic_lock import DiagnosticLock
from command_service.domain.lanes import Verdict, queue_entry, verdicts
from command_service.domain.results import Outcome, OutcomeKind, Progress, Receipt, Result, record
from tests.unit.command_service.builders import START, a_command

ECUS = (0x10, 0x18, 0xE400)
MAX_RESPONSES = 6
USERS = ("anna", "ben")
contents = st.one_of(
    st.just('{"a":1}'),
    st.just(Progress(0x78)),
    st.sampled_from(
        [
            Outcome(OutcomeKind.COMPLETED),
            Outcome(OutcomeKind.FAILED, "NEGATIVE_RESPONSE", "no", 0x22),
            Outcome(OutcomeKind.TIMED_OUT),
            Outcome(OutcomeKind.LOST),
            Outcome(OutcomeKind.CANCELLED),
        ]
    ),
)


class LifeOfCommands(RuleBasedStateMachine):
    """One vehicle, a few ECUs, sessions that come and go; the vehicle's side is kept in `handed_over`."""

    sent = Bundle("sent")
    on_the_wire = Bundle("on_the_wire")

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.epoch = 1
        self.online = True
        self.commands: dict[str, Command] = {}
        self.handed_over: dict[str, int] = {}
        self.recorded: dict[str, list[int]] = {}
        self.ends: dict[str, tuple[Status, int]] = {}
        self.order: dict[str, list[tuple[int, int]]] = {}
        self.revisions: dict[str, int] = {}
        self.lock: DiagnosticLock | None = None

    @rule(
        target=sent,
        repeatable=st.booleans(),
        ecu=st.sampled_from(ECUS),
        priority=st.integers(-1, 1),
        expiry=st.integers(10, 200),
        user=st.sampled_from(USERS),
    )
    def submit(self, repeatable: bool, ecu: int, priority: int, expiry: int, user: str) -> object:
        command = a_command(
            user_id=user,
            repeatable=repeatable,
            ecu=ecu,
            priority=priority,
            created_at=self.now,
            expires_at=self.now + timedelta(seconds=expiry),
        )
        if self.is_held_back(command):
            return multiple()  # it is refused
        self.commands[command.command_id] = command
        self.recorded[command.command_id] = []
        return command

    @rule(target=on_the_wire)
    def dispatch(self) -> object:
        queue = [queue_entry(command) for command in self.commands.values() if not command.status.terminal]
        dispatched = []
        for command_id, verdict in verdicts(queue, self.now, reachable=self.online, lock=self.lock).items():
            if verdict is Verdict.RUN:
                command = self.commands[command_id]
                assert not self.is_held_back(command)
                self.check_nothing_ahead(command)
                command.dispatch("c1", self.epoch, self.now)
                dispatched.append((command_id, command.dispatch_number, self.epoch))
        return multiple(*dispatched)

    def check_nothing_ahead(self, command: Command) -> None:
        for other in self.commands.values():
            same_lane = other.lane == command.lane or other.exclusive or command.exclusive
            before = (-other.priority, other.accept_number) < (-command.priority, command.accept_number)
            if other is not command and same_lane and other.status is Status.PENDING and before:
                passed_over_for_good_reason = self.now >= other.expires_at or self.is_held_back(other)
                assert passed_over_for_good_reason, "something ahead in the lane was passed over"

    def is_held_back(self, command: Command) -> bool:
        lock = self.lock
        return (
            lock is not None
            and self.now < lock.expires_at
            and command.command_class != "read"
            and command.user_id != lock.owner_id
        )

    @rule(user=st.sampled_from(USERS), seconds=st.integers(1, 120))
    def lock_is_taken_or_renewed(self, user: str, seconds: int) -> None:
        if self.lock is not None and self.lock.lasts(self.now) and self.lock.owner_id != user:
            return
        self.lock = DiagnosticLock(user, user, self.now, self.now + timedelta(seconds=seconds))
        for command in self.commands.values():
            if command.status is Status.DISPATCHED and self.is_held_back(command):
                command.return_to_queue(self.now)

    @rule()
    def lock_is_released_or_broken(self) -> None:
        self.lock = None

    @rule(message=on_the_wire)
    def claim_and_hand_over(self, message: tuple[str, int, int]) -> None:
        """Messages stay in the bundle: they are delivered again and again, in any order."""
        command = self.commands[message[0]]
        before = command.revision
        refusal = command.claim(message[1], "c1", message[2], self.now)
        if refusal is None and command.revision != before:
            assert message[2] == self.epoch or not self.online
            assert not self.is_held_back(command), "a lock was taken before, and the vehicle gets it all the same"
            self.handed_over[command.command_id] = self.handed_over.get(command.command_id, 0) + 1

    @rule(message=consumes(on_the_wire))
    def certainly_not_handed_over(self, message: tuple[str, int, int]) -> None:
        """A connector claims and then finds that its lease or session is gone."""
        command = self.commands[message[0]]
        before = command.revision
        if command.claim(message[1], "c1", message[2], self.now) is None and command.revision != before:
            outcome = Outcome(OutcomeKind.NOT_HANDED_OVER, dispatch_number=message[1])
            assert self.apply(command, 1, outcome, command.attempt) is Receipt.RECORDED

    @rule(message=consumes(on_the_wire))
    def message_is_lost(self, message: tuple[str, int, int]) -> None:
        """The watchdog takes back what nobody claimed."""
        command = self.commands[message[0]]
        if command.status is Status.DISPATCHED and command.dispatch_number == message[1]:
            command.return_to_queue(self.now)

    @rule(command=sent, content=contents, ahead=st.integers(-2, 2), older=st.integers(0, 1))
    def result_arrives(self, command: Command, content: str | Progress | Outcome, ahead: int, older: int) -> None:
        number = max(1, command.results_recorded + 1 + ahead)
        self.apply(command, number, content, command.attempt - older)

    def apply(self, command: Command, number: int, content: str | Progress | Outcome, attempt: int) -> Receipt:
        snapshot = replace(command)
        result = Result(command.command_id, attempt, number, content, "c1", self.now)
        recording = record(command, result, self.now, MAX_RESPONSES)
        if recording.receipt is Receipt.RECORDED:
            assert snapshot.status is Status.IN_PROGRESS
            assert attempt == snapshot.attempt
            assert number == snapshot.results_recorded + 1
            if recording.response:
                self.recorded[command.command_id].append(recording.response.sequence_number)
        elif command.error_code != "TOO_MANY_RESPONSES":
            assert command == snapshot, "what is not recorded changes nothing"
        return recording.receipt

    @rule()
    def session_is_lost(self) -> None:
        self.online = False
        for command in self.commands.values():
            if command.status is Status.DISPATCHED:
                command.return_to_queue(self.now)
            elif command.status is Status.IN_PROGRESS:
                command.lose_session(self.now)

    @rule(still_held=st.booleans())
    @precondition(lambda self: not self.online)
    def vehicle_returns(self, still_held: bool) -> None:
        self.online = True
        self.epoch += 1
        for command in self.commands.values():
            if command.status is Status.IN_PROGRESS and still_held:
                command.take_up("c1", self.epoch, self.now)

    @rule(command=sent)
    def cancel(self, command: Command) -> None:
        command.cancel("engineer", self.now)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        for command in self.commands.values():
            if command.status in WAITING and self.now >= command.expires_at:
                command.expire(self.now, "EXPIRED", "late")
            elif command.status is Status.IN_PROGRESS:
                self.watch(command)

    def watch(self, command: Command) -> None:
        assert command.deadline_at is not None
        if command.session_lost_at is not None:
            if self.now >= command.session_lost_at + timedelta(seconds=30):
                command.fate_unknown(UnknownFate.CONNECTION_LOST, self.now)
        elif self.now >= command.deadline_at + timedelta(seconds=10):
            command.fate_unknown(UnknownFate.SILENT, self.now)

    @invariant()
    def terminal_states_never_change(self) -> None:
        for command in self.commands.values():
            if command.status.terminal:
                end = self.ends.setdefault(command.command_id, (command.status, command.revision))
                assert end == (command.status, command.revision)

    @invariant()
    def revisions_only_grow(self) -> None:
        for command in self.commands.values():
            assert command.revision >= self.revisions.get(command.command_id, 0)
            self.revisions[command.command_id] = command.revision

    @invariant()
    def one_at_a_time_per_lane_and_exclusive_means_alone(self) -> None:
        active = [command for command in self.commands.values() if command.status in ACTIVE]
        assert len({command.lane for command in active}) == len(active)
        assert len(active) <= 1 or not any(command.exclusive for command in active)

    @invariant()
    def not_repeatable_is_handed_over_at_most_once_and_repeatable_three_times(self) -> None:
        for command_id, times in self.handed_over.items():
            assert times <= (MAX_ATTEMPTS if self.commands[command_id].repeatable else 1)

    @invariant()
    def responses_are_numbered_without_gaps_or_repeats(self) -> None:
        for command_id, numbers in self.recorded.items():
            assert numbers == list(range(1, len(numbers) + 1))
            assert self.commands[command_id].responses == len(numbers)

    @invariant()
    def timed_out_is_for_repeatable_ones_only(self) -> None:
        for command in self.commands.values():
            assert command.status is not Status.TIMED_OUT or command.repeatable

    def teardown(self) -> None:
        """Promise 1: left alone, every command ends."""
        self.session_is_lost()
        for _ in range(3):
            self.now += timedelta(seconds=300)
            for command in self.commands.values():
                if command.status in WAITING:
                    command.expire(max(self.now, command.expires_at), "EXPIRED", "late")
                elif command.status is Status.IN_PROGRESS:
                    self.watch(command)
        assert all(command.status.terminal for command in self.commands.values())


TestLifeOfCommands = LifeOfCommands.TestCase
TestLifeOfCommands.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
