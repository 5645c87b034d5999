"""Writes the table of values into charts/sovd-webapp/README.md, from values.yaml and its `# --` comments.

With --check: fails when the table is not what values.yaml says, or when a value has no comment.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts/sovd-webapp"
BEGIN, END = "<!-- values: made from values.yaml by `make format` -->", "<!-- end of values -->"


def comment_above(lines: list[str], line: int) -> str:
    """What the `# --` comment right above the line says; empty when there is none."""
    above: list[str] = []
    for text in reversed([each.strip() for each in lines[:line]]):
        if not text.startswith("#"):
            break
        above.insert(0, text.removeprefix("#").strip())
        if text.startswith("# --"):
            return " ".join(above).removeprefix("-- ")
    return ""


def values(node: yaml.MappingNode, lines: list[str], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default as JSON, and meaning of each value."""
    for key, value in node.value:
        name, meaning = f"{prefix}{key.value}", comment_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value and not meaning:
            yield from values(value, lines, f"{name}.")
        elif not meaning:
            raise SystemExit(f"values.yaml: {name} has no comment that begins with # --")
        else:
            yield name, json.dumps(plain(value), ensure_ascii=False), meaning


def plain(node: yaml.Node) -> Any:
    return yaml.safe_load(yaml.serialize(node))


def table() -> str:
    text = (CHART / "values.yaml").read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    rows = [f"| `{name}` | {meaning} | `{default}` |" for name, default, meaning in values(root, text.splitlines())]
    return "\n".join([BEGIN, "", "| Value | | Default |", "|---|---|---|", *rows, "", END])


def main() -> int:
    readme = CHART / "README.md"
    before = readme.read_text()
    head, _, rest = before.partition(BEGIN)
    after = head + table() + rest.partition(END)[2]
    if "--check" in sys.argv[1:] and after != before:
        print("charts/sovd-webapp/README.md is not what values.yaml says: run make format", file=sys.stderr)
        return 1
    readme.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
