"""sovd login, logout, whoami."""

import os
import sys
from typing import Annotated

import httpx
import typer

from sovd_cli.api import checked_url, log_in, open_api
from sovd_cli.credentials import DEFAULT_URL, CredentialStore
from sovd_cli.errors import CliError, NotLoggedIn
from sovd_cli.output import JsonOption, print_fields, print_json, say

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def login(
    url: Annotated[str | None, typer.Option(envvar="SOVD_URL", help="The server.", show_default=DEFAULT_URL)] = None,
    username: Annotated[str | None, typer.Option("--username", "-u", help="Asked for when not given.")] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Log in and remember it (a private file under ~/.config/sovd, or $SOVD_CONFIG)."""
    store = CredentialStore()
    server = checked_url(url or store.load().current or DEFAULT_URL)
    if password_stdin and not username:
        raise CliError("--password-stdin needs --username")
    name = username or typer.prompt("Username", err=True)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _ask_password()
    if server.startswith("http:") and httpx.URL(server).host not in LOOPBACK:
        say(f"warning: {server} is not encrypted: the password can be read on the way")
    log_in(store, server, name, password)
    say(f"logged in at {server} as {name}")


def _ask_password() -> str:
    return str(typer.prompt("Password", hide_input=True, err=True))


def logout() -> None:
    """End the log-in session at the server and forget it here."""
    store = CredentialStore()
    stored = store.load()
    given = os.environ.get("SOVD_URL")
    url = checked_url(given) if given else stored.current or DEFAULT_URL
    login = stored.logins.get(url)
    if login is None:
        raise NotLoggedIn(f"not logged in at {url}")
    try:
        with open_api(url) as api:
            api.post("/api/v1/auth/logout", {"refresh_token": login.refresh_token}, again=True)
    except CliError as error:
        say(f"the server did not confirm it: {error.message}")
    with store.locked():
        stored = store.load()
        stored.logins.pop(url, None)
        store.save(stored)
    say(f"logged out at {url}")


def whoami(as_json: JsonOption = False) -> None:
    """Who you are at the server."""
    with open_api() as api:
        user = api.get("/api/v1/auth/me")
        print_json(user) if as_json else print_fields({"server": api.url, **user})
