"""`make bench-web`: how quick the web interface is, in a real browser, served by the gateway on real servers.

Prints what Lighthouse measures of three pages, and the time from a click on "Send" to the first answer on screen beside
what the API needs for the same. Writes JSON to bench_results/.
"""

import time

from tests.support.system import ROOT
from tests.web.demo_fleet import bring_to_life
from tests.web.tools import run_tool, started_system


def main() -> None:
    results = ROOT / "bench_results"
    results.mkdir(exist_ok=True)
    with started_system() as system:
        bring_to_life(system)
        run_tool("bench", system.url, results / f"web-{time.strftime('%Y%m%dT%H%M%S')}.json")


if __name__ == "__main__":
    main()
