"""Writes the gateway's OpenAPI document, from which the web interface's types are generated, to the file named."""

import json
import sys
from pathlib import Path
from typing import cast

from gateway.app import create_app
from gateway.app_state import AppState


def main(target: Path) -> None:
    # Routes look the state up when they are called, which none is here.
    document = create_app(cast("AppState", None)).openapi()
    # A release alone does not make generated files out of date.
    document["info"]["version"] = "1"
    target.write_text(json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
