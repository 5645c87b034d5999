"""The program: every command in its place."""

import typer

from sovd_cli.commands import audit, auth, diagnose, services, vehicles
from sovd_cli.errors import EXIT_CODES_HELP

app = typer.Typer(
    name="sovd",
    help=f"Remote vehicle diagnostics.\n\n{EXIT_CODES_HELP}\n\n"
    "Environment: SOVD_URL (the server), SOVD_TOKEN (an access token instead of a log-in), "
    "SOVD_CONFIG (the file that keeps log-ins).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

USE, LOG_IN, RUN = "Diagnose", "Log-in", "Run the system"

for use in (diagnose.run, diagnose.watch, diagnose.show, diagnose.cancel, diagnose.commands):
    app.command(rich_help_panel=USE)(use)
app.command("command-types", rich_help_panel=USE)(diagnose.command_types)
app.add_typer(vehicles.app, name="vehicles", rich_help_panel=USE)
app.add_typer(audit.app, name="audit", rich_help_panel=USE)
for log_in in (auth.login, auth.logout, auth.whoami):
    app.command(rich_help_panel=LOG_IN)(log_in)
for part in (services.up, services.serve, services.simulate, services.agent, services.migrate, services.health):
    app.command(rich_help_panel=RUN)(part)
