"""The live table, on a terminal that is a string."""

import io
import json

from rich.console import Console

from sovd_cli.live import Event
from sovd_cli.views import TableView
from tests.unit.sovd_cli.fake_api import answer, error, status


def event(body: dict[str, object]) -> Event:
    return Event(json.dumps(body), body)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=10, color_system=None)


def test_the_table_ends_with_all_answers_and_the_outcome() -> None:
    console = terminal()
    with TableView("ReadDTC on X", console) as view:
        view.trouble("connection lost; reconnecting")
        view.show(event(status("in_progress")))
        for number in range(1, 31):
            view.show(event(answer(number, code=f"P{number:04}")))
        view.show(event(status("completed", responses=30)))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert all(f"code=P{number:04}" in shown for number in range(1, 31))
    assert "ReadDTC on X" in shown
    assert shown.rstrip().endswith("completed, 30 responses")


def test_while_it_runs_the_table_keeps_to_the_terminal() -> None:
    console = terminal()
    view = TableView("t", console)
    for number in range(1, 31):
        view.show(event(answer(number)))
    view.show(event(error("timed_out", "VEHICLE_TIMEOUT")))
    shown = "".join(segment.text for segment in console.render(view._so_far()))
    assert "n=30" in shown
    assert "n=26" not in shown
    assert "timed_out: VEHICLE_TIMEOUT: so it is" in shown
