"""Traces leave the real processes as the standard environment variables say, and are one trace where they arrive."""

from tests.integration.conftest import Observed, trace_id_of
from tests.support.otlp import CollectedSpan
from tests.support.waiting import wait_for

CALLER = "b7ad6b7169203331"
SPANS = [
    ("gateway", "POST /api/v1/commands"),
    ("command_service", "command.accept"),
    ("command_service", "command.dispatch"),
    ("vehicle_connector", "connector.execute"),
    ("vehicle_simulator", "vehicle.execute"),
]


def test_a_trace_arrives_whole(observed: Observed) -> None:
    trace = arrived(observed, "completed")
    by_id = {span.span_id: span for span in trace}
    (vehicle,) = [span for span in trace if span.name == "vehicle.execute"]
    way = [vehicle]
    while way[0].parent_id != CALLER:
        way.insert(0, by_id[way[0].parent_id])
    assert [(span.service, span.name) for span in way] == SPANS
    assert {by_id[span.parent_id].name for span in trace if span.name == "result.record"} == {"connector.execute"}


def test_an_unsampled_trace_does_not_leave(observed: Observed) -> None:
    assert observed.commands["unsampled"]["status"] == "completed"
    arrived(observed, "completed")  # of the same processes, and not sent before
    assert observed.collector.trace(trace_id_of("unsampled")) == []


def arrived(observed: Observed, command: str) -> list[CollectedSpan]:
    """Every process sends its spans by itself, some moments after they ended."""
    expected = {*SPANS, ("command_service", "result.record")}

    def all_of_them() -> list[CollectedSpan]:
        trace = observed.collector.trace(trace_id_of(command))
        return trace if {(span.service, span.name) for span in trace} >= expected else []

    return wait_for(all_of_them)
