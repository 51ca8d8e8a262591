import math
import sys

import pytest

from skvit._utils._optional import require, require_pillow, require_pyplot


def test_returns_the_module():
    assert require("math", "plot", "Counting") is math


def test_missing_library_names_the_extra():
    message = r"Drawing needs absent_library, .* pip install 'skvit\[plot\]'"
    with pytest.raises(ImportError, match=message):
        require("absent_library.part", "plot", "Drawing")


def test_what_a_library_lacks_is_not_taken_for_the_library(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import absent_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="'absent_library'") as caught:
        require("broken_library", "plot", "Drawing")
    assert caught.value.name == "absent_library"


def test_pillow_is_named_as_it_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(
        ImportError, match=r"images needs Pillow, which .*skvit\[images"
    ):
        require_pillow()


def test_pyplot(pyplot):
    assert require_pyplot() is pyplot


def test_pillow():
    assert require_pillow() is pytest.importorskip("PIL.Image")
