"""The README's example prints what the README says it prints."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
MAX_EXAMPLE_LINES = 10


def block(name):
    """Content of the fenced block that follows the comment with that name."""
    return re.search(rf"<!-- {name} -->\n+```\w*\n(.*?)```", README, re.DOTALL)[1]


def test_example_has_ten_lines():
    lines = [line for line in block("example").splitlines() if line.strip()]
    assert len(lines) <= MAX_EXAMPLE_LINES


def test_example_prints_its_output(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", block("example")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == block("output")


def test_commands_use_the_pinned_versions():
    for name in ("command: main job", "command: tests"):
        assert "pip install -c tests/constraints.txt" in block(name)
