import ast
from pathlib import Path

import pytest
import sklearn

import skvit
from skvit._utils import _sklearn

PACKAGE = Path(skvit.__file__).parent
OTHERS = sorted(set(PACKAGE.rglob("*.py")) - {Path(_sklearn.__file__)})
DOCUMENTED = {"_safe_indexing"}  # in scikit-learn's reference, despite its name


def test_every_name_is_there_on_this_scikit_learn():
    missing = [name for name in _sklearn.__all__ if getattr(_sklearn, name) is None]
    version = tuple(map(int, sklearn.__version__.split(".")[:2]))
    assert missing == ([] if version >= (1, 9) else ["AttrsDict"])


@pytest.mark.parametrize(
    "path", OTHERS, ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_nothing_else_imports_private_names(path):
    imported = {
        part
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn")
        for part in [*node.module.split("."), *(alias.name for alias in node.names)]
    }
    assert {part for part in imported if part.startswith("_")} <= DOCUMENTED
