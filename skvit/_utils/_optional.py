"""Libraries that only some features need."""

from importlib import import_module
from types import ModuleType

_DISTRIBUTIONS = {"PIL": "Pillow"}  # where the name of the package is another


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
    ModuleNotFoundError
        If it is installed, but something that it needs is not.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or package).partition(".")[0] != package:
            raise
        library = _DISTRIBUTIONS.get(package, package)
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
