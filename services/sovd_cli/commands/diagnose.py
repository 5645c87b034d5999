"""sovd run, watch, show, cancel, commands, command-types: the main job."""

import shlex
import sys
import uuid
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sovd_cli import completion
from sovd_cli.api import Api, open_api
from sovd_cli.commands.vehicles import find_vehicle, with_ecu_address
from sovd_cli.errors import EXIT_CODES_HELP, CliError, ExitCode, Unreachable
from sovd_cli.live import Follower
from sovd_cli.output import JsonOption, cell, moment, print_fields, print_json, print_table, say
from sovd_cli.parameters import parse_parameters
from sovd_cli.views import View, answer_text, choose_view

CommandId = Annotated[str, typer.Argument(metavar="COMMAND_ID")]


def command_types(as_json: JsonOption = False) -> None:
    """What can be sent, with its parameters."""
    with open_api() as api:
        found = api.command_types()
    if as_json:
        for kind in found:
            print_json(kind)
        return
    rows = ((kind["name"], _parameters(kind), kind.get("description"), _preconditions(kind)) for kind in found)
    print_table(("name", "parameters (* required)", "what it does", "needs"), rows, "no command types")


def _preconditions(kind: dict[str, Any]) -> str:
    return ", ".join(
        f"{one['name']} {one['comparison']} {one['value']:g} {one['unit']}".rstrip()
        for one in kind.get("preconditions", [])
    )


def _parameters(kind: dict[str, Any]) -> str:
    schema = kind["parameters_schema"]
    required = schema.get("required", [])
    return ", ".join(f"{name}*" if name in required else name for name in schema.get("properties", {}))


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="As listed by 'sovd command-types'.", autocompletion=completion.command_names
        ),
    ],
    vin: Annotated[str | None, typer.Option(help="The vehicle's VIN.", autocompletion=completion.vins)] = None,
    vehicle_id: Annotated[str | None, typer.Option(help="Instead of --vin.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            help="name=value; arrays as JSON or 1,2,3; ECUs also by name. Repeat.",
            autocompletion=completion.parameters,
        ),
    ] = None,
    timeout: Annotated[int | None, typer.Option(help="Seconds for the vehicle to answer.")] = None,
    expires_in: Annotated[int | None, typer.Option(help="Seconds to wait for a vehicle that is offline.")] = None,
    priority: Annotated[int | None, typer.Option(help="-100 to 100, higher runs first.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same command.")] = None,
    as_json: JsonOption = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the command and go.")] = False,
) -> None:
    """Send a command to a vehicle and watch its answers."""
    if (vin is None) == (vehicle_id is None):
        raise CliError("give the vehicle by --vin, or by --vehicle-id")
    with open_api() as api:
        kind = _command_type(api, name)
        vehicle = find_vehicle(api, str(vin)) if vin else {"vehicle_id": vehicle_id}
        parameters = parse_parameters(param or [], kind["parameters_schema"])
        body: dict[str, Any] = {
            "vehicle_id": vehicle["vehicle_id"],
            "command_name": kind["name"],
            "command_params": with_ecu_address(api, vehicle, parameters),
            "timeout_seconds": timeout,
            "expires_in_seconds": expires_in,
            "priority": priority,
        }
        command = _submit(api, body, idempotency_key or str(uuid.uuid4()))
        if as_json or no_wait:
            print_json(command) if as_json else print(command["command_id"])
        if no_wait:
            return
        title = f"{kind['name']} on {vin or vehicle_id}  ({command['command_id']})"
        _follow(api, command["command_id"], choose_view(as_json, title), may_cancel=True)


run.__doc__ = f"{run.__doc__}\n\n{EXIT_CODES_HELP}"


def _command_type(api: Api, name: str) -> dict[str, Any]:
    found = {kind["name"]: kind for kind in api.command_types()}
    for known, kind in found.items():
        if known.lower() == name.lower():
            return kind
    raise CliError(f"UNKNOWN_COMMAND_NAME: {name!r} is none of {', '.join(found)}")


def _submit(api: Api, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Sent with an idempotency key always: a lost answer is asked for again and makes no second command."""
    present = {name: value for name, value in body.items() if value is not None}
    try:
        command: dict[str, Any] = api.post("/api/v1/commands", present, headers={"Idempotency-Key": key}, again=True)
    except Unreachable as error:
        option = f"--idempotency-key {shlex.quote(key)}"
        hint = f"the server may have the command all the same: the same with '{option}' makes no second one"
        raise Unreachable(f"{error.message}; {hint}") from error
    return command


def watch(
    command_id: CommandId,
    after: Annotated[int, typer.Option(min=0, help="Skip the answers up to this number.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Watch a command's answers, from the first, to its end; exit codes as in 'sovd run'."""
    with open_api() as api:
        command = api.get(_path(command_id))
        view = choose_view(as_json, f"{command['command_name']}  ({command_id})")
        _follow(api, command["command_id"], view, may_cancel=False, after=after)


def _follow(api: Api, command_id: str, view: View, *, may_cancel: bool, after: int = 0) -> None:
    follower = Follower(api, command_id, after, view.trouble)
    while True:
        try:
            ended = _show_all(follower, view)
        except KeyboardInterrupt:
            if not (may_cancel and _wants_to_cancel()):
                say(f"detached, the command goes on: 'sovd watch {command_id}' shows it, 'sovd cancel' cancels it")
                raise typer.Exit(ExitCode.DETACHED) from None
            say(f"cancel: {_cancel(api, command_id)['outcome']}")
            may_cancel = False
        else:
            raise typer.Exit(ended)


def _show_all(follower: Follower, view: View) -> ExitCode:
    with view:
        for event in follower:
            view.show(event)
            if event.outcome is not None:
                return event.outcome
    raise AssertionError("a follower ends with a terminal event")


def _wants_to_cancel() -> bool:
    if not sys.stdin.isatty():
        return False
    try:
        return typer.confirm("Cancel the command? (No: it goes on without you.)", err=True)
    except (typer.Abort, KeyboardInterrupt):
        say("")
        return False


def cancel(command_id: CommandId, as_json: JsonOption = False) -> None:
    """Cancel a command: prevented, cancelled (not tried again), requested (the vehicle is asked), or too_late."""
    with open_api() as api:
        answer = _cancel(api, command_id)
    print_json(answer) if as_json else print(answer["outcome"])


def _cancel(api: Api, command_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = api.post(f"{_path(command_id)}/cancel", again=True)
    return answer


def commands(
    vin: Annotated[str | None, typer.Option(help="Of one vehicle.", autocompletion=completion.vins)] = None,
    vehicle_id: Annotated[str | None, typer.Option(help="Instead of --vin.")] = None,
    user: Annotated[str | None, typer.Option(help="Of one user, by id.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="As in completed, failed, pending. Repeat it.")] = None,
    name: Annotated[str | None, typer.Option(help="As in ReadDTC.", autocompletion=completion.command_names)] = None,
    since: Annotated[str | None, typer.Option("--from", help="ISO 8601, accepted at or after.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="ISO 8601, accepted before.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List commands, the newest first."""
    with open_api() as api:
        vehicle = find_vehicle(api, vin)["vehicle_id"] if vin else vehicle_id
        query = {"vehicle_id": vehicle, "user_id": user, "status": status, "command_name": name}
        found = api.items("/api/v1/commands", limit, **query, **{"from": since, "to": until})
        if as_json:
            for command in found:
                print_json(command)
            return
        headings = ("command", "accepted", "name", "VIN", "status", "answers", "error")
        print_table(headings, (_row(command) for command in found), "no commands")


def _row(command: dict[str, Any]) -> tuple[Any, ...]:
    return (
        command["command_id"],
        moment(command.get("created_at")),
        command["command_name"],
        command.get("vin"),
        command["status"],
        command.get("responses"),
        command.get("error_code"),
    )


def show(
    command_id: CommandId,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="With what came too late, or could not be read.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """One command and its answers so far."""
    with open_api() as api:
        command = api.get(_path(command_id))
        answers = list(_answers(api, command_id))
        late = list(api.items(f"{_path(command_id)}/evidence")) if evidence else []
    if as_json:
        for document in (command, *answers, *late):
            print_json(document)
        return
    print_fields({name: moment(value) if name.endswith("_at") else value for name, value in command.items()})
    rows = ((a["sequence_number"], moment(a.get("received_at"))[-8:], answer_text(a["response"])) for a in answers)
    print_table(("#", "received", "answer"), rows, "no answers")
    if evidence:
        kept = ((moment(e.get("received_at")), e.get("reason"), e.get("kind"), cell(e.get("body"))) for e in late)
        print_table(("received", "why", "kind", "what"), kept, "no evidence")


def _answers(api: Api, command_id: str) -> "list[dict[str, Any]]":
    answers: list[dict[str, Any]] = []
    while True:
        page = api.get(f"{_path(command_id)}/responses", after=len(answers))
        answers += page["items"]
        if not page.get("has_more") or not page["items"]:
            return answers


def _path(command_id: str) -> str:
    return f"/api/v1/commands/{quote(command_id, safe='')}"
