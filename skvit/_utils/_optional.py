"""Libraries that only some features need."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module that is optional.

    Parameters
    ----------
    module : str
        Its dotted name.
    extra : str
        The extra of this package that installs it.
    purpose : str
        What needs it, the subject of the message.

    Returns
    -------
    ModuleType
        The module.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs {library}, which is not installed: "
            f"pip install 'skvit[{extra}]'."
        ) from error


def require_pyplot() -> ModuleType:
    """Import matplotlib's pyplot, on which displays draw."""
    return require("matplotlib.pyplot", "plot", "Drawing")


def require_pillow() -> ModuleType:
    """Import Pillow's images, which decode files and draw images at other sizes."""
    return require("PIL.Image", "images", "Reading and resizing images")
