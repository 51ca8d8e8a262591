import math

import pytest

from skvit._utils._optional import require, require_pillow, require_pyplot


def test_returns_the_module():
    assert require("math", "plot", "Counting") is math


def test_missing_library_names_the_extra():
    message = r"Drawing needs absent_library, .* pip install 'skvit\[plot\]'"
    with pytest.raises(ImportError, match=message):
        require("absent_library.part", "plot", "Drawing")


def test_pyplot(pyplot):
    assert require_pyplot() is pyplot


def test_pillow():
    assert require_pillow() is pytest.importorskip("PIL.Image")
