"""Every example is laid out for the gallery, which runs it when it is built."""

import ast
import doctest
import re
from pathlib import Path

import pytest

import skvit
import skvit.exceptions
import skvit.inspection
import skvit.nn

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GUIDES = [*(ROOT / "docs").glob("*.rst"), *(ROOT / "docs" / "guide").glob("*.rst")]
PUBLIC = [skvit, skvit.exceptions, skvit.inspection, skvit.nn]
MAX_LINES = 200


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_layout(script):
    source = script.read_text(encoding="utf-8")
    title, underline, *_ = ast.get_docstring(ast.parse(source)).splitlines()
    assert underline == "=" * len(title)
    assert "\n# %%\n" in source
    assert len(source.splitlines()) <= MAX_LINES


def test_the_gallery_is_large_enough():
    assert len([path for path in EXAMPLES if path.name.startswith("plot_")]) >= 10


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_ends_in_a_picture_or_a_table(script):
    last = ast.parse(script.read_text(encoding="utf-8")).body[-1]
    assert isinstance(last, ast.Expr)
    calls = [node for node in ast.walk(last) if isinstance(node, ast.Call)]
    called = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    assert called & {"show", "savefig", "to_string"}


def test_every_public_name_appears():
    """In a script of the gallery, or in the code of a guide."""
    parser = doctest.DocTestParser()
    code = [path.read_text(encoding="utf-8") for path in EXAMPLES]
    for path in GUIDES:
        parts = parser.get_examples(path.read_text(encoding="utf-8"))
        code += [part.source for part in parts]
    used = set(re.findall(r"\w+", "\n".join(code)))
    assert {name for module in PUBLIC for name in module.__all__} <= used
