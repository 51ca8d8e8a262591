"""Every example runs by itself, quietly, and is laid out for the gallery."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
MAX_LINES = 200
# The main job, which the first command of the README runs.
MAIN_JOB = "digits.py"


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_layout(script):
    source = script.read_text(encoding="utf-8")
    title, underline, *_ = ast.get_docstring(ast.parse(source)).splitlines()
    assert underline == "=" * len(title)
    assert "\n# %%\n" in source
    assert len(source.splitlines()) <= MAX_LINES


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [path for path in EXAMPLES if path.name != MAIN_JOB],
    ids=lambda path: path.name,
)
def test_runs_quietly(script, tmp_path):
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
