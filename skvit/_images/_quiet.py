"""What decoders have to say while files are read, in many threads at once."""

import logging
import re
import warnings
from contextlib import AbstractContextManager, suppress
from threading import Lock
from typing import Any

from skvit._utils._optional import require_pillow

_LOGGERS = (logging.getLogger("PIL.TiffImagePlugin"), logging.getLogger("tifffile"))
_PILLOW = r"PIL\."


class QuietDecoders(AbstractContextManager):
    """Raise at what Pillow takes for a bomb, and pass over what hurts nobody.

    That are broken tags, of which it warns and tifffile writes to its log, and TIFF
    files with more bands than Pillow can decode, which it logs as errors.

    Python has one list of filters for all threads, and others may put back an earlier
    one at any time. So no list is put back here: two filters, which concern only what
    Pillow says, are added when the first thread comes and taken away when the last
    leaves.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_inside = 0

    def __enter__(self) -> None:
        """Add the filters, if nobody has."""
        with self._lock:
            if self._n_inside == 0:
                for action, category in _actions():
                    warnings.filterwarnings(action, "", category, _PILLOW)
                for logger in _LOGGERS:
                    logger.addFilter(is_news)
            self._n_inside += 1

    def __exit__(self, *_: Any) -> None:
        """Take them away, if nobody else needs them."""
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                for action, category in _actions():
                    added = (action, None, category, re.compile(_PILLOW), 0)
                    with suppress(ValueError):  # gone with a list that was put back
                        warnings.filters.remove(added)  # type: ignore[attr-defined]  # a list
                for logger in _LOGGERS:
                    logger.removeFilter(is_news)


def _actions() -> list[tuple[Any, type[Warning]]]:
    """Return what becomes of warnings of a category, the most special last."""
    bomb = require_pillow().DecompressionBombWarning
    return [("ignore", Warning), ("error", bomb)]


def is_news(record: logging.LogRecord) -> bool:
    """Say whether a record tells of something other than bands and broken tags."""
    is_known = record.name == "tifffile" and record.levelno <= logging.ERROR
    return not is_known and not str(record.msg).startswith("More samples per pixel")


quiet_decoders = QuietDecoders()
