import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from skvit._images._quiet import quiet_pillow

Image = pytest.importorskip("PIL.Image")


def test_bombs_are_errors_and_other_warnings_nothing():
    with quiet_pillow:
        warnings.warn("a broken tag", UserWarning, stacklevel=1)
        with pytest.raises(Image.DecompressionBombWarning, match="large"):
            warnings.warn("large", Image.DecompressionBombWarning, stacklevel=1)


def test_threads_that_overlap_leave_the_filters_as_they_were():
    before = list(warnings.filters)
    both_inside, one_left = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def leave_first():
        with quiet_pillow:
            both_inside.wait()
        one_left.wait()

    def leave_last():
        with quiet_pillow:
            both_inside.wait()
            one_left.wait()
            warnings.warn("still nothing", UserWarning, stacklevel=1)

    with ThreadPoolExecutor(2) as pool:
        for task in [pool.submit(leave_first), pool.submit(leave_last)]:
            task.result()
    assert warnings.filters == before


def test_only_the_number_of_bands_is_not_logged(caplog):
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with quiet_pillow:
        logger.error("More samples per pixel than can be decoded: %s", 13)
        logger.error("something else")
    logger.error("More samples per pixel than can be decoded: %s", 13)
    found = [record.getMessage() for record in caplog.records]
    assert found == ["something else", "More samples per pixel than can be decoded: 13"]
