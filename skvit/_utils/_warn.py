"""Warnings that point at the line that called the package."""

import sys
import warnings
from types import FrameType

# What lies between the caller and the package: decorators, searches, contexts.
_BETWEEN = {"skvit", "sklearn", "skorch", "torch", "joblib", "contextlib"}


def warn(message: str, category: type[Warning]) -> None:
    """Warn from the first line outside the package and what it calls it through.

    Parameters
    ----------
    message : str
        What is wrong, and what to do.
    category : type of Warning
        What kind of warning it is.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_between(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_between(frame: FrameType) -> bool:
    """Say whether a frame belongs to one of the modules in between."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN
