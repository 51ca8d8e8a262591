"""The public names, and what importing them costs."""

import inspect
import re
import subprocess
import sys
from doctest import DocTestParser
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from sklearn.base import BaseEstimator

import skvit

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "skorch", "matplotlib", "PIL"}
# What scorers are given in place of a classifier; users never meet it.
INTERNAL = {"PredictedClassifier"}
PUBLIC_MODULES = ["skvit", "skvit.exceptions", "skvit.inspection", "skvit.nn"]


def run(code):
    """Standard output of the code in a fresh interpreter with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def modules_after(code):
    """Top-level names of the modules that the code loads."""
    printed = run(f"{code}; import sys; print(*sys.modules)")
    return {name.partition(".")[0] for name in printed.split()}


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_all_is_sorted_and_importable(module):
    module = import_module(module)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, name) for name in module.__all__)


def test_submodules_are_attributes():
    program = "import skvit; print(skvit.nn.ViTConfig, skvit.inspection, dir(skvit))"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "ViTConfig" in printed
    assert {"exceptions", "inspection", "nn"} <= set(re.findall(r"\w+", printed))


def estimators(base=BaseEstimator):
    """Final estimators of the package, found without its own list."""
    own = [cls for cls in base.__subclasses__() if cls.__module__.startswith("skvit")]
    return [final for cls in own for final in estimators(cls) or [cls]]


def test_all_is_complete():
    for module in walk_packages(skvit.__path__, "skvit."):
        import_module(module.name)
    found = {cls.__name__ for cls in estimators()} - INTERNAL
    assert found | {"__version__", "load_image_folder"} == set(skvit.__all__)


def example_words():
    """Words of the gallery's scripts and of the code in pages and docstrings."""
    pages = [*ROOT.glob("docs/*.rst"), *ROOT.glob("docs/guide/*.rst")]
    texts = [path.read_text("utf-8") for path in pages]
    for module in map(import_module, PUBLIC_MODULES):
        members = [getattr(module, name) for name in module.__all__]
        texts += [inspect.getdoc(member) or "" for member in members]
    code = [path.read_text("utf-8") for path in ROOT.glob("examples/*.py")]
    for text in texts:
        code += [example.source for example in DocTestParser().get_examples(text)]
    return set(re.findall(r"\w+", " ".join(code)))


def test_every_public_name_appears_in_an_example():
    words = example_words()
    for module in map(import_module, PUBLIC_MODULES):
        assert set(module.__all__) <= words, module.__name__


def test_api_page_lists_every_public_name():
    listed = set(re.findall(r"\w+", (ROOT / "docs/api.rst").read_text("utf-8")))
    for module in map(import_module, PUBLIC_MODULES):
        assert set(module.__all__) - {"__version__"} <= listed, module.__name__


def test_dir_lists_the_public_names():
    assert set(skvit.__all__) <= set(dir(skvit))


def test_public_names_are_defined_here():
    for name in set(skvit.__all__) - {"__version__"}:
        public = getattr(skvit, name)
        assert public.__name__ == name
        assert public.__module__.startswith("skvit._")


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Transformer'"):
        skvit.Transformer  # noqa: B018 - the access itself is tested


def test_import_prints_nothing():
    names = ", ".join(name for name in skvit.__all__)
    assert run(f"import skvit, skvit.nn; from skvit import {names}") == ""


@pytest.mark.parametrize(
    "code",
    [
        "import skvit",
        "from skvit import PatchTransformer",
        "import skvit; skvit.PatchTransformer().fit_transform([[[0] * 8] * 8])",
        "import skvit; skvit.ViTClassifier(device='cpu').get_params()",
    ],
)
def test_patches_and_parameters_load_no_heavy_library(code):
    assert not modules_after(code) & HEAVY
