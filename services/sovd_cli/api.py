"""The public REST API as the commands use it: log-in kept alive, errors turned into one line each."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from sovd_cli.credentials import DEFAULT_URL, CredentialStore, Login
from sovd_cli.errors import CliError, ExitCode, NotLoggedIn, TooManyRequests, Unreachable

RETRY_DELAYS = (0.2, 0.5, 1.0)
HURRIED_SECONDS = 1.5
PAGE = 100


class Tokens(Protocol):
    """Where the access token comes from."""

    def current(self) -> str: ...

    def renewed(self, refused: str, http: httpx.Client) -> str | None:
        """A newer token than the one the server refused, None when there is none."""


class FixedToken:
    """A token somebody gave ($SOVD_TOKEN): used as it is."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        return self._token

    def renewed(self, refused: str, http: httpx.Client) -> str | None:
        return None


class StoredTokens:
    """The stored log-in, refreshed when the server refuses its access token."""

    def __init__(self, store: CredentialStore, url: str) -> None:
        self._store, self._url = store, url

    def current(self) -> str:
        login = self._store.load().logins.get(self._url)
        if login is None:
            raise NotLoggedIn(f"not logged in at {self._url}: run 'sovd login --url {self._url}'")
        return login.access_token

    def renewed(self, refused: str, http: httpx.Client) -> str | None:
        with self._store.locked():
            stored = self._store.load()
            login = stored.logins.get(self._url)
            if login is None:
                return None
            if login.access_token != refused:  # another sovd has just refreshed it
                return login.access_token
            answer = _send(http, "POST", "/api/v1/auth/refresh", json={"refresh_token": login.refresh_token})
            if answer.status_code in (400, 401, 403, 422):
                del stored.logins[self._url]
                self._store.save(stored)
                return None
            tokens = _document(answer)
            renewed = replace(login, access_token=tokens["access_token"], refresh_token=tokens["refresh_token"])
            stored.logins[self._url] = renewed
            self._store.save(stored)
            return renewed.access_token


class Api:
    """One server and who talks to it. Close it, or use it in a with statement."""

    def __init__(self, url: str, tokens: Tokens, *, hurried: bool = False) -> None:
        self.url = url
        self._tokens = tokens
        self._hurried = hurried
        self._http = http_client(url, seconds=HURRIED_SECONDS if hurried else 30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        present = {name: value for name, value in query.items() if value is not None}
        return _document(self._call("GET", path, params=present, again=True))

    def command_types(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/command-types")["items"]
        return found

    def post(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, again: bool = False
    ) -> Any:
        """again: sending it twice is safe, so a lost connection is tried again."""
        return _document(self._call("POST", path, json=body, headers=headers, again=again))

    def delete(self, path: str, **query: Any) -> None:
        _document(self._call("DELETE", path, params=query))

    def items(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, at most `limit`."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = self.get(path, cursor=cursor, limit=PAGE if left is None else min(left, PAGE), **query)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return
            left = None if left is None else left - len(page["items"])

    def _call(self, method: str, path: str, *, again: bool = False, **request: Any) -> httpx.Response:
        token = self._tokens.current()
        answer = self._authorised(token, method, path, again, request)
        if answer.status_code != 401:
            return answer
        newer = self._tokens.renewed(token, self._http)
        if newer is None:
            raise NotLoggedIn(f"{problem(answer)}; run 'sovd login'")
        return self._authorised(newer, method, path, again, request)

    def _authorised(self, token: str, method: str, path: str, again: bool, request: dict[str, Any]) -> httpx.Response:
        headers = {**(request.get("headers") or {}), "Authorization": f"Bearer {token}"}
        again = again and not self._hurried
        return _send(self._http, method, path, again=again, **{**request, "headers": headers})


def open_api(url: str | None = None, *, hurried: bool = False) -> Api:
    """The server of $SOVD_URL or of the last log-in, as the user of $SOVD_TOKEN or of the stored log-in.

    hurried: rather no answer than a late one.
    """
    store = CredentialStore()
    server = url or os.environ.get("SOVD_URL")
    server = checked_url(server) if server else store.load().current or DEFAULT_URL
    token = os.environ.get("SOVD_TOKEN")
    return Api(server, FixedToken(token) if token else StoredTokens(store, server), hurried=hurried)


def log_in(store: CredentialStore, url: str, username: str, password: str) -> None:
    """Fetches tokens and makes the server the current one."""
    with http_client(url) as http:
        answer = _send(http, "POST", "/api/v1/auth/login", json={"username": username, "password": password})
    tokens = _document(answer)
    with store.locked():
        stored = store.load()
        stored.logins[url] = Login(username, tokens["access_token"], tokens["refresh_token"])
        stored.current = url
        store.save(stored)


def checked_url(text: str) -> str:
    """The server's address without a trailing slash; raises CliError when it is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise CliError(f"{text!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise CliError(f"{text!r} is not a server's URL: give one like {DEFAULT_URL}")
    return text.rstrip("/")


def http_client(url: str, seconds: float = 30) -> httpx.Client:
    timeout = httpx.Timeout(seconds, connect=min(seconds, 5))
    return httpx.Client(base_url=url, timeout=timeout, headers={"User-Agent": "sovd"})


def problem(answer: httpx.Response) -> str:
    """The API's problem details as `code: detail`."""
    try:
        body = answer.json()
        return f"{body['code']}: {body['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status_code} {answer.reason_phrase}"


def _send(http: httpx.Client, method: str, path: str, *, again: bool = False, **request: Any) -> httpx.Response:
    for delay in (*(RETRY_DELAYS if again else ()), None):
        try:
            answer = http.request(method, path, **request)
            if answer.status_code != 503 or delay is None:
                return answer
        except httpx.TransportError as error:
            if delay is None:
                raise Unreachable(f"cannot reach {http.base_url}: {str(error) or type(error).__name__}") from error
        time.sleep(delay)
    raise AssertionError("the last attempt returns or raises")


def _document(answer: httpx.Response) -> Any:
    if answer.is_success:
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise Unreachable(
                f"{answer.url.copy_with(query=None)} is no sovd server: it does not answer JSON"
            ) from error
    if answer.status_code in (401, 403):
        raise CliError(problem(answer), ExitCode.NOT_ALLOWED)
    if answer.status_code == 429:
        raise TooManyRequests(problem(answer))
    if answer.status_code >= 500:
        raise Unreachable(problem(answer))
    raise CliError(problem(answer))
