"""Every example is laid out for the gallery, which runs it when it is built."""

import ast
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
MAX_LINES = 200


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_layout(script):
    source = script.read_text(encoding="utf-8")
    title, underline, *_ = ast.get_docstring(ast.parse(source)).splitlines()
    assert underline == "=" * len(title)
    assert "\n# %%\n" in source
    assert len(source.splitlines()) <= MAX_LINES
