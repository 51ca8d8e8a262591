"""Vision Transformers as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skvit._classifier import ViTClassifier
    from skvit._images import load_image_folder
    from skvit._options import Architecture, Augment, ImageOptions, Recipe
    from skvit._patch_transformer import PatchTransformer

__version__ = "0.1.0"

__all__ = [
    "Architecture",
    "Augment",
    "ImageOptions",
    "PatchTransformer",
    "Recipe",
    "ViTClassifier",
    "__version__",
    "load_image_folder",
]

# Public name -> module that defines it. Imported on first use, so that the patches
# are to be had without loading PyTorch.
_HOMES = {
    "Architecture": "skvit._options",
    "Augment": "skvit._options",
    "ImageOptions": "skvit._options",
    "PatchTransformer": "skvit._patch_transformer",
    "Recipe": "skvit._options",
    "ViTClassifier": "skvit._classifier",
    "load_image_folder": "skvit._images",
}
_SUBMODULES = "exceptions", "inspection", "nn"


def __getattr__(name: str) -> object:
    """Import a public name, or a submodule, when it is first asked for.

    Raises
    ------
    AttributeError
        If the package has no such public name.
    """
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *_HOMES, *_SUBMODULES})
