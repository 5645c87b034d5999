"""How the events of a running command look: a live table, plain lines when piped, JSON for scripts."""

import sys
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sovd_cli.live import Event
from sovd_cli.output import cell, clean, console, moment, say


class View(Protocol):
    """Shows events as they come. Within a with statement it may own the terminal."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
    def show(self, event: Event) -> None: ...
    def trouble(self, message: str) -> None: ...


def choose_view(as_json: bool, title: str) -> View:
    if as_json:
        return JsonView()
    return TableView(title) if sys.stdout.isatty() else LineView()


class _PlainView:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def trouble(self, message: str) -> None:
        say(message)


class JsonView(_PlainView):
    def show(self, event: Event) -> None:
        print(event.line, flush=True)


class LineView(_PlainView):
    def show(self, event: Event) -> None:
        body = event.body
        line = f"{body['sequence_number']:>4}  {answer_text(body['response'])}" if event.is_response else summary(body)
        print(line, flush=True)


class TableView:
    """The last answers that fit while it runs; all of them at the end."""

    def __init__(self, title: str, terminal: Console | None = None) -> None:
        self._title = title
        self._console = terminal or console()
        self._rows: list[tuple[str, str, str]] = []
        self._status = Text("waiting for the vehicle")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._live = Live(console=self._console, get_renderable=self._so_far, transient=True, refresh_per_second=8)
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._console.print(self._shown(self._rows))

    def show(self, event: Event) -> None:
        body = event.body
        if event.is_response:
            received = moment(body.get("received_at"))[-8:]
            self._rows.append((str(body["sequence_number"]), received, answer_text(body["response"])))
        else:
            ended = event.outcome
            self._status = Text(summary(body), style="" if ended is None else "red" if ended else "green")

    def trouble(self, message: str) -> None:
        self._status = Text(clean(message), style="yellow")

    def _so_far(self) -> RenderableType:
        room = max(self._console.size.height - 6, 3)
        return self._shown(self._rows[-room:])

    def _shown(self, rows: list[tuple[str, str, str]]) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("received", no_wrap=True)
        table.add_column("answer", overflow="fold")
        for number, received, answer in rows:
            table.add_row(number, received, Text(answer))
        return Group(Text(self._title, style="bold"), *([table] if rows else []), self._status)


def answer_text(response: Any) -> str:
    """A response as `name=value` pairs: whatever the command type, it reads in one line."""
    if not isinstance(response, dict):
        return cell(response)
    return "  ".join(f"{clean(name)}={cell(value)}" for name, value in response.items())


def summary(event: dict[str, Any]) -> str:
    """A status or error event in words."""
    status = clean(str(event.get("status", "?")))
    if event.get("event") == "error":
        nrc = f" (NRC {cell(event['nrc'])} {cell(event.get('nrc_name'))})" if event.get("nrc") else ""
        return f"{status}: {cell(event.get('code'))}: {cell(event.get('error_message'))}{nrc}"
    progress = event.get("progress")
    if isinstance(progress, dict):
        return f"{status}: {cell(progress.get('nrc_name') or progress)}"
    attempt = f", attempt {event['attempt']}" if event.get("attempt", 1) != 1 else ""
    if status != "completed":
        return f"{status}{attempt}"
    count = event.get("responses", 0)
    return f"{status}{attempt}, {count} {'response' if count == 1 else 'responses'}"
