"""`make screenshots`: a picture of each page of the web interface, on a fleet that looks alive, into docs/images/."""

from tests.support.system import ROOT
from tests.web.demo_fleet import bring_to_life
from tests.web.tools import run_tool, started_system


def main() -> None:
    with started_system() as system:
        bring_to_life(system)
        run_tool("screenshots", system.url, ROOT / "docs" / "images")


if __name__ == "__main__":
    main()
