"""--param name=value by JSON Schema."""

from typing import Any

import pytest

from sovd_cli.errors import CliError
from sovd_cli.parameters import parse_parameters

ANY: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("0x10", {"type": "string"}, "0x10"),
        ("12", {"type": "string"}, "12"),
        ("a=b", {"type": "string"}, "a=b"),
        ("12", {"pattern": "^0x"}, "12"),
        ("12", {"type": "integer"}, 12),
        ("0xff", {"type": "integer"}, 255),
        ("1.5", {"type": "number"}, 1.5),
        ("true", {"type": "boolean"}, True),
        ("null", {"type": ["null", "integer"]}, None),
        ("12", {"type": ["string", "integer"]}, 12),
        ("twelve", {"type": ["string", "integer"]}, "twelve"),
        ("7", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, 7),
        ("0xF190,0xF40C", {"type": "array", "items": {"type": "string"}}, ["0xF190", "0xF40C"]),
        ("1, 2", {"type": "array", "items": {"type": "integer"}}, [1, 2]),
        ('["0xF190"]', {"type": "array", "items": {"type": "string"}}, ["0xF190"]),
        ("", {"type": "array"}, []),
        ('{"a":1}', {"type": "object"}, {"a": 1}),
        ('{"a":1}', ANY, {"a": 1}),
        ("00FF", ANY, "00FF"),
    ],
)
def test_values(text: str, schema: dict[str, Any], value: Any) -> None:
    assert parse_parameters([f"p={text}"], {"properties": {"p": schema}}) == {"p": value}


@pytest.mark.parametrize(
    ("pairs", "schema", "message"),
    [
        (["p"], ANY, "--param 'p': write it as name=value"),
        (["=1"], ANY, "--param '=1': write it as name=value"),
        (["p=1", "p=2"], ANY, "--param p is given twice"),
        (["p=1"], {"additionalProperties": False}, "--param p is unknown here: it takes no parameters"),
        (["p=x"], {"properties": {"p": {"type": "integer"}}}, "--param p=x: must be an integer"),
        (["p=NaN"], {"properties": {"p": {"type": "number"}}}, "--param p=NaN: must be a number"),
        (["p=1"], {"properties": {"p": {"type": ["boolean", "null"]}}}, "--param p=1: must be a boolean or a null"),
        (["p=[1"], {"properties": {"p": {"type": "array"}}}, "--param p=[1: must be an array"),
        (["p=1"], {"properties": {"p": {"type": "object"}}}, "--param p=1: must be an object"),
    ],
)
def test_what_cannot_be_meant(pairs: list[str], schema: dict[str, Any], message: str) -> None:
    with pytest.raises(CliError) as refused:
        parse_parameters(pairs, schema)
    assert refused.value.message == message


def test_what_the_schema_does_not_know_may_be_sent_where_it_allows_more() -> None:
    assert parse_parameters(["q=1"], ANY) == {"q": 1}
