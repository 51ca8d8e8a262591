"""What decoders have to say while files are read, in many threads at once."""

import logging
import os
import re
import warnings
from contextlib import AbstractContextManager, suppress
from threading import Lock
from typing import Any

_LOGGERS = (logging.getLogger("PIL.TiffImagePlugin"), logging.getLogger("tifffile"))
_PILLOW = r"PIL\."


class QuietDecoders(AbstractContextManager):
    """Pass over what hurts nobody.

    That are broken tags, of which Pillow warns and tifffile writes to its log, and TIFF
    files with more bands than Pillow can decode, which it logs as errors. What Pillow
    takes for a bomb it warns of too: whoever opens a file looks at its size.

    Python has one list of filters for all threads, and others may put back an earlier
    one at any time. So no list is put back here: one filter, which concerns only what
    Pillow says, is added when the first thread comes and taken away when the last
    leaves. It makes no errors of warnings, lest others who put it back meet them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_inside = 0

    def begin_anew(self) -> None:
        """Forget the threads inside, none of which is in a process that was forked."""
        if self._n_inside:
            self._remove_filters()
        self._lock = Lock()
        self._n_inside = 0

    def __enter__(self) -> None:
        """Add the filters, if nobody has."""
        with self._lock:
            if self._n_inside == 0:
                warnings.filterwarnings("ignore", "", Warning, _PILLOW)
                for logger in _LOGGERS:
                    logger.addFilter(is_news)
            self._n_inside += 1

    def __exit__(self, *_: Any) -> None:
        """Take them away, if nobody else needs them."""
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._remove_filters()

    def _remove_filters(self) -> None:
        """Take the filters away that are there."""
        added = ("ignore", None, Warning, re.compile(_PILLOW), 0)
        with suppress(ValueError):  # gone with a list that was put back
            warnings.filters.remove(added)  # type: ignore[attr-defined]  # a list
        for logger in _LOGGERS:
            logger.removeFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Say whether a record tells of something other than bands and broken tags."""
    is_known = record.name == "tifffile" and record.levelno <= logging.ERROR
    return not is_known and not str(record.msg).startswith("More samples per pixel")


quiet_decoders = QuietDecoders()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=quiet_decoders.begin_anew)
