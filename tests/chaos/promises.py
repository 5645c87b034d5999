"""The promises of the design (section 4), held against what users saw, what is recorded and what vehicles were told."""

import json
from collections import defaultdict
from typing import Any

from tests.chaos.traffic import Sent, Traffic
from tests.support.system import ADMIN, System
from vehicle_simulator.ledger import executions, hand_overs, read_ledger

MAX_ATTEMPTS = 3
TERMINAL = {"completed", "failed", "timed_out", "expired", "cancelled"}


async def check_promises(system: System, traffic: Traffic) -> dict[str, int]:
    """Every promise over every command that was answered with 201; returns how the commands ended."""
    ledger = read_ledger(system.ledger)
    handed_over, executed = hand_overs(ledger), executions(ledger)
    violations = list(traffic.violations)
    ends: dict[str, int] = defaultdict(int)
    for sent in traffic.sent:
        command = await traffic.get(f"/api/v1/commands/{sent.command_id}")
        ends[command["status"] + (f" {command['error_code']}" if command["error_code"] else "")] += 1
        violations += _end(sent, command)
        violations += _hand_overs(sent, command, handed_over.get(sent.command_id, 0), executed.get(sent.command_id, 0))
        violations += await _responses(traffic, sent, command)
    violations += _unknown_to_users(traffic, set(handed_over))
    violations += _audit(system, traffic)
    assert not violations, f"{len(violations)} violations over {len(traffic.sent)} commands: {violations[:10]}"
    return dict(ends)


def _end(sent: Sent, command: dict[str, Any]) -> list[str]:
    """1: exactly one terminal state, the one that was seen."""
    if command["status"] not in TERMINAL:
        return [f"{sent.command_id} is {command['status']}"]
    if command["status"] != sent.end:
        return [f"{sent.command_id} was seen {sent.end} and is {command['status']}"]
    return []


def _hand_overs(sent: Sent, command: dict[str, Any], handed_over: int, executed: int) -> list[str]:
    """2: what must not be repeated reaches a vehicle at most once; what is repeatable at most three times."""
    problems = []
    limit = MAX_ATTEMPTS if sent.repeatable else 1
    if handed_over > limit:
        problems.append(f"{sent.command_name} {sent.command_id} was handed over {handed_over} times")
    if command["status"] == "completed" and not executed:
        problems.append(f"{sent.command_id} is completed, and no vehicle executed it")
    if command["status"] in ("expired", "cancelled") and handed_over and not sent.repeatable:
        problems.append(f"{sent.command_id} is {command['status']}, and was handed over")
    if command["status"] == "timed_out" and not sent.repeatable:
        problems.append(f"{sent.command_id} is timed_out, which is for repeatable commands only")
    return problems


async def _responses(traffic: Traffic, sent: Sent, command: dict[str, Any]) -> list[str]:
    """3: recorded responses are 1..n, and the viewer saw exactly those."""
    page = await traffic.get(f"/api/v1/commands/{sent.command_id}/responses?limit=200")
    recorded = [(one["sequence_number"], json.dumps(one["response"], sort_keys=True)) for one in page["items"]]
    numbers = [number for number, _ in recorded]
    if numbers != list(range(1, command["responses"] + 1)):
        return [f"{sent.command_id} has responses {numbers}, and counts {command['responses']}"]
    if recorded != sent.responses:
        return [f"{sent.command_id}: its viewer saw {sent.responses}, recorded is {recorded}"]
    return []


def _unknown_to_users(traffic: Traffic, handed_over: set[str]) -> list[str]:
    """Nothing reaches a vehicle that nobody sent: retries of a request make one command."""
    strangers = handed_over - traffic.handed_over_before - {sent.command_id for sent in traffic.sent}
    return [f"{command_id} was handed over, and nobody sent it" for command_id in strangers]


def _audit(system: System, traffic: Traffic) -> list[str]:
    """Every command was audited as submitted once and ended once, in an intact chain."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    with system.client(ADMIN) as client:
        for action in ("command.submitted", "command.ended"):
            cursor = ""
            while True:
                parameters = {"action": action, "limit": "200", **({"cursor": cursor} if cursor else {})}
                page = client.get("/api/v1/audit", params=parameters).raise_for_status().json()
                for entry in page["items"]:
                    counts[action, entry["subject_id"]] += 1
                cursor = page["next_cursor"]
                if not cursor:
                    break
        verification = client.get("/api/v1/audit/verification").raise_for_status().json()
    problems = [
        f"{action} of {sent.command_id} was audited {counts[action, sent.command_id]} times"
        for sent in traffic.sent
        for action in ("command.submitted", "command.ended")
        if counts[action, sent.command_id] != 1
    ]
    return problems if verification["intact"] else [*problems, f"audit chain: {verification['reason']}"]
