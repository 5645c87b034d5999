"""Whatever a SOVD server says: it is understood, or refused with what came; nothing else ever comes out."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_service.domain.catalogue import CATALOGUE
from vehicle_connector.vehicle_response import complaint_about
from vehicle_links.dialled import CommandFailed, FateUnknown
from vehicle_links.sovd.codec import (
    EventLines,
    bad_response,
    check,
    data_response,
    details_response,
    event_payload,
    execution_response,
    fault_response,
    items_of,
    lock_owner,
    matching_faults,
    object_of,
)
from vehicle_links.sovd.directory import Directory
from vehicle_links.sovd.http import Answer, BadAnswer, SovdHttp

# JSON that is near to what is meant: the known names with anything under them.
NAMES = st.sampled_from(
    [
        "items", "item", "id", "name", "code", "display_code", "status", "mask", "severity", "fault_name", "data",
        "value", "raw", "x-raw", "unit", "environment_data", "snapshots", "parameters", "nrc", "error", "error_code",
        "message", "owner", "payload", "testFailed", "test_failed", "variant", "logical_address", "did", "x-did",
        "x-sovd2uds-serviceAbstract",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["0x042011", "042011", "P0420-11", "P0420", "0x2F", "2F", "0xF190", "22F190", "running", "\0"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
BODIES = st.one_of(st.binary(max_size=64), OBJECTS.map(lambda value: json.dumps(value).encode()))
ANSWERS = st.builds(Answer, st.integers(100, 599), st.just({}), BODIES)


fuzz = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def is_fit(response: object) -> bool:
    return complaint_about(json.dumps(response)) is None


@fuzz
@given(ANSWERS)
def test_any_answer_is_a_success_a_refusal_or_an_unknown_fate(answer: Answer) -> None:
    try:
        told: object = check(answer, "x")
    except (CommandFailed, FateUnknown) as refusal:
        told = refusal
    if isinstance(told, CommandFailed):
        assert (bool(told.code), 0 <= told.nrc <= 0xFF) == (True, True)
    elif isinstance(told, FateUnknown):
        assert not 200 <= answer.status < 500
    else:
        assert told is answer


@fuzz
@given(BODIES)
def test_any_body_is_an_object_or_bad(body: bytes) -> None:
    for read in (object_of, items_of):
        bad = _bad(read, body)
        if bad is not None:
            assert bad.raw == body
            failure = bad_response(bad, "x")
            assert failure.unreadable in (body.decode(errors="replace"), f"0x{body.hex().upper()}")
            assert (failure.code, len(failure.message) < 4 * 600 + 400) == ("BAD_VEHICLE_RESPONSE", True)


def _bad(read: Callable[[Answer], object], body: bytes) -> BadAnswer | None:
    try:
        read(Answer(200, {}, body))
    except BadAnswer as bad:
        return bad
    return None


@fuzz
@given(OBJECTS)
def test_any_fault_has_the_catalogues_shape_or_is_bad(fault: dict[str, Any]) -> None:
    for read, name in ((fault_response, "ReadDTC"), (details_response, "ReadDTCDetails")):
        try:
            response = read(0x10, json.loads(json.dumps(fault)), b"raw")
        except BadAnswer:
            continue
        jsonschema.validate(response, CATALOGUE[name].response_schema)
        assert is_fit(response)


@fuzz
@given(OBJECTS)
def test_any_value_has_the_catalogues_shape_or_is_bad(value: dict[str, Any]) -> None:
    try:
        response = data_response(0x10, 0xF190, value, b"raw")
    except BadAnswer:
        return
    jsonschema.validate(response, CATALOGUE["ReadDataByID"].response_schema)
    assert is_fit(response)


@fuzz
@given(OBJECTS, OBJECTS)
def test_any_execution_and_any_lock_can_be_told_of(execution: dict[str, Any], lock: dict[str, Any]) -> None:
    assert is_fit(execution_response(execution, "running"))
    assert isinstance(lock_owner(lock, execution), str)


@pytest.mark.parametrize(
    ("fault", "wanted", "is_meant"),
    [
        ({"code": "042011"}, "0x042011", True),
        ({"code": "0x042011"}, "P0420-11", True),
        ({"code": "P042011"}, "P0420", True),
        ({"code": "77", "display_code": "P0420-11"}, "P0420-11", True),
        ({"code": "042012"}, "P0420", True),
        ({"code": "042012"}, "P0420-11", False),
        ({"code": "042111"}, "P0420", False),
        ({"code": "modelMissing"}, "P0420", False),
        ({"code": 42}, "P0420", False),
    ],
)
def test_only_faults_that_were_meant_match(fault: dict[str, Any], wanted: str, is_meant: bool) -> None:
    assert list(matching_faults([fault], wanted)) == ([fault] if is_meant else [])


@fuzz
@given(BODIES)
def test_any_event_is_a_payload_a_refusal_or_bad(data: bytes) -> None:
    with suppress(BadAnswer, CommandFailed):
        assert isinstance(event_payload(data), dict)


@fuzz
@given(st.lists(st.binary(max_size=20), max_size=10))
def test_events_are_the_same_however_they_are_cut(chunks: list[bytes]) -> None:
    stream = b": hi\r\ndata: a\r\ndata:b\n\nevent: x\n\n" + b"".join(chunks) + b"\n\ndata: end\n\n"
    whole, bytewise = EventLines(1000), EventLines(1000)
    events = whole.feed(stream)
    assert [event for byte in stream for event in bytewise.feed(bytes([byte]))] == events
    assert (events[0], events[-1]) == (b"a\nb", b"end")


def test_an_event_without_end_is_refused() -> None:
    with pytest.raises(BadAnswer):
        EventLines(10).feed(b"data: " + b"x" * 20)
    with pytest.raises(BadAnswer):
        EventLines(20).feed(b"data: 12345678\ndata: 12345678\n")
    with pytest.raises(BadAnswer):
        EventLines(1000).feed(b"data:\n" * 200)


@fuzz
@given(st.lists(BODIES, min_size=1, max_size=6), st.lists(OBJECTS, max_size=3))
async def test_any_directory_is_read_or_bad(bodies: list[bytes], entries: list[dict[str, Any]]) -> None:
    answers = [json.dumps({"items": entries}).encode(), *bodies]

    async def get(path: str) -> Answer:
        return Answer(200, {}, answers.pop(0) if len(answers) > 1 else answers[0])

    directory = Directory("/v1", get)
    with suppress(BadAnswer):
        for component in await directory.components():
            path = await directory.resource(component, "data", 0xF190)
            assert path.startswith("/v1/components/")
            reset = await directory.has_operation(component, ["reset"])
            assert reset is None or reset.endswith("/operations/reset")


@fuzz
@given(VALUES)
def test_no_reference_leads_to_another_host(reference: Any) -> None:
    http = SovdHttp("http://192.0.2.10:8080/vehicle/v1")
    path = http.own_path(reference, "/x/")
    assert path is None or (path.startswith("/") and path.isprintable() and " " not in path)


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("/v15", "/v15"),
        ("events", "/vehicle/v1/x/events"),
        ("../s?a=1", "/vehicle/v1/s?a=1"),
        ("http://192.0.2.10:8080/v2", "/v2"),
        ("http://192.0.2.10/v2", None),
        ("https://192.0.2.10:8080/v2", None),
        ("//evil.example/v2", None),
        ("http://192.0.2.10:8080@evil.example/", None),
        ("http://user@192.0.2.10:8080/", None),
        ("javascript:alert(1)", None),
        ("/a b", None),
        ("/a\r\nb: c", None),
        ("", None),
        (7, None),
    ],
)
def test_own_references(reference: object, path: str | None) -> None:
    assert SovdHttp("http://192.0.2.10:8080/vehicle/v1").own_path(reference, "/x/") == path
