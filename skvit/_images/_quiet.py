"""What Pillow has to say while files are opened, in many threads at once."""

import logging
import warnings
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any

from skvit._utils._optional import require_pillow

_LOGGER = logging.getLogger("PIL.TiffImagePlugin")


class QuietPillow(AbstractContextManager):
    """Raise at what Pillow takes for a bomb, and pass over what hurts nobody.

    That are broken tags, of which it warns, and TIFF files with more bands than it can
    decode, which it logs as errors.

    Python has one list of filters for all threads. Were each thread to put back what
    it has found, those that overlap would put back one another's, so the first that
    comes changes the list for all, and the last that leaves puts it back.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        """Change the filters, if nobody has."""
        with self._lock:
            if self._n_inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
                bomb = require_pillow().DecompressionBombWarning
                warnings.simplefilter("error", bomb)
                _LOGGER.addFilter(is_news)
            self._n_inside += 1

    def __exit__(self, *_: Any) -> None:
        """Put them back, if nobody else needs them."""
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._filters.__exit__(None, None, None)
                _LOGGER.removeFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Say whether a record tells of something other than the number of bands."""
    return not str(record.msg).startswith("More samples per pixel")


quiet_pillow = QuietPillow()
