"""The README's five-minute tour, word for word: what it prints must be what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.test_embedded import running

README = Path(__file__).parents[2] / "README.md"
HERE = 'export PATH="$PWD/.venv/bin:$PATH"'


def tour() -> str:
    """All its shell blocks, in order."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## Five-minute tour") : text.index("## On real servers")]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 4
    return "".join(blocks)


def test_the_tour_works_word_for_word(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        script = tour()
        assert HERE in script
        # Only where it runs is other than on the reader's machine.
        script = script.replace(HERE, f'export PATH="{Path(sys.executable).parent}:$PATH"')
        script = script.replace("localhost:8000", system.url.removeprefix("http://"))
        environment = {**os.environ, "SOVD_URL": system.url, "SOVD_CONFIG": str(tmp_path / "credentials.json")}
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == f"logged in at {system.url} as engineer\n"
    for said in (
        "WBA1122334455FFEE  BMW",  # the fleet
        "display_code=P0420-11",  # two faults and a summary
        "display_code=P0171-00",
        "ecuAddress=0x10  count=2\ncompleted, 3 responses\n",
        "StreamDataByID",  # the catalogue
        "value=WDD1234567890ABCD\ncompleted, 1 response\n",
        '"has_more": false',  # over REST
    ):
        assert said in ran.stdout
    # Over the WebSocket: the last four lines.
    lines = ran.stdout.splitlines()[-4:]
    assert [line.partition(",")[0] for line in lines] == ['{"event":"response"'] * 3 + ['{"event":"status"']
    assert '"status":"completed"' in lines[-1]
