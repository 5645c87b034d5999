"""What goes to the terminal: tables for people, one JSON document per line for scripts."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 10_000

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document per line, for scripts.")]


def console() -> Console:
    # Made when needed: it looks at the stdout of now. What is piped is never wrapped.
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def say(message: str) -> None:
    """A remark to the person at the terminal; never part of the output."""
    print(clean(message), file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, separators=(",", ":")), flush=True)


def clean(text: str) -> str:
    """Without control characters: what a vehicle or a server sends must not drive the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def cell(value: Any) -> str:
    """One value for people to read."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping) and any(isinstance(flag, bool) for flag in value.values()):
        return _flags(value)
    return clean(json.dumps(value, ensure_ascii=False))


def _flags(value: Mapping[str, Any]) -> str:
    """As in a DTC's status: what is set, then the rest."""
    known = [clean(name) for name, flag in value.items() if flag is True]
    rest = [f"({clean(name)} {cell(more)})" for name, more in value.items() if not isinstance(more, bool)]
    return " ".join([*known, *rest]) or "none"


def moment(value: Any) -> str:
    """An API time as local time."""
    if not isinstance(value, str):
        return ""
    try:
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return clean(value)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """The first column is what people copy: it is never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if table.row_count:
        console().print(table)
    else:
        say(empty)


def print_fields(fields: Mapping[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", []):
            table.add_row(name, Text(cell(value)))
    console().print(table)
