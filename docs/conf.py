"""How Sphinx builds these pages: sphinx-build -W --keep-going docs docs/_build."""

from pathlib import Path

from docutils import nodes

# The gallery looks up what the examples import, in no order of theirs.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - see above
from sphinx_gallery.directives import imgsgnode

import skvit

project = "skvit"
author = "the skvit developers"
copyright = f"2026, {author}"
version = release = skvit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "literal"
# Quotes in the docstrings' types belong to values, such as "auto".
smartquotes = False

autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    # The main job of the README runs for minutes, and is run by the checks already.
    "ignore_pattern": r"digits\.py",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "doc_module": ("skvit",),
    "backreferences_dir": "generated/backreferences",
    "image_srcset": ["2x"],
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    # The scripts print what is to be read.
    "capture_repr": (),
}

highlight_language = "text"
html_theme = "furo"
html_title = "skvit"
html_favicon = "_static/skvit.svg"
html_copy_source = False
html_use_index = False
html_static_path = ["_static"]
html_css_files = ["skvit.css"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def skip_foreign(app, what, name, value, skip, options):
    """Leave out methods that scikit-learn and PyTorch document themselves."""
    home = getattr(value, "__module__", None) or "skvit"
    return skip or not home.startswith("skvit")


def tell_pictures(app, doctree, page):
    """Tell the gallery's pictures, large and small, by the title of their example."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            stem = Path(image["uri"]).stem
            example = stem.removeprefix("sphx_glr_").removesuffix("_thumb")
            image["alt"] = app.env.titles[f"auto_examples/{example}"].astext()
    for figure in doctree.findall(imgsgnode):
        title, words = app.env.titles[page].astext(), figure["alt"]
        named = words.replace(" ", "_") == Path(page).name
        figure["alt"] = title if named else f"{title}: {words}"


def setup(app):
    """Connect what Sphinx asks for."""
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("doctree-resolved", tell_pictures)
