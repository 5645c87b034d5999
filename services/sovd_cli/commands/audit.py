"""sovd audit: the trail of who did what (admin)."""

from typing import Annotated

import typer

from sovd_cli.api import open_api
from sovd_cli.errors import ExitCode
from sovd_cli.output import JsonOption, moment, print_json, print_table

app = typer.Typer(help="The audit trail (admin).", no_args_is_help=True)


@app.command("list")
def list_entries(
    action: Annotated[str | None, typer.Option(help="As in user.login.")] = None,
    actor: Annotated[str | None, typer.Option(help="A user's id.")] = None,
    subject: Annotated[str | None, typer.Option(help="What it was done to, by id.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """The newest entries first."""
    with open_api() as api:
        entries = api.items("/api/v1/audit", limit, action=action, actor_id=actor, subject_id=subject)
        if as_json:
            for entry in entries:
                print_json(entry)
            return
        rows = (
            (moment(e.get("at")), e.get("actor_name"), e.get("action"), e.get("outcome"), e.get("subject_id"))
            for e in entries
        )
        print_table(("at", "who", "action", "outcome", "subject"), rows, "no entries")


@app.command()
def verify(as_json: JsonOption = False) -> None:
    """Check the hash chain; exit code 1 when it is broken."""
    with open_api() as api:
        found = api.get("/api/v1/audit/verification")
    if as_json:
        print_json(found)
    elif found["intact"]:
        print(f"intact: {found['sealed']} entries sealed, {found['unsealed']} not sealed yet")
    else:
        print(f"BROKEN at entry {found['broken_at']}: {found.get('reason') or 'the hash does not match'}")
    if not found["intact"]:
        raise typer.Exit(ExitCode.FAILED)
