import logging
import multiprocessing
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from skvit._images._quiet import quiet_decoders

Image = pytest.importorskip("PIL.Image")


def pillow_warns(message, category=UserWarning):
    """Warn as a module of Pillow does."""
    warnings.warn_explicit(message, category, "Image.py", 1, module="PIL.Image")


@pytest.mark.parametrize("category", [UserWarning, Image.DecompressionBombWarning])
def test_warnings_of_pillow_are_nothing(category):
    with quiet_decoders:
        pillow_warns("a broken tag", category)
    with pytest.warns(category, match="a broken tag"):
        pillow_warns("a broken tag", category)


@pytest.mark.parametrize("category", [UserWarning, Image.DecompressionBombWarning])
def test_filters_put_back_too_late_raise_nothing(category):
    """Somebody's list that was copied while we read outlives the reading."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        others = warnings.catch_warnings()
        with quiet_decoders:
            others.__enter__()
        others.__exit__(None, None, None)
        pillow_warns("of what others open", category)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_meanwhile_begins_anew():
    """Its own threads come and go, and leave the filters as they were before."""
    before = list(warnings.filters)
    inside, forked = Event(), Event()

    def read():
        with quiet_decoders:
            inside.set()
            forked.wait(10)

    def stays_quiet():
        is_clean = [warnings.filters == before]
        with quiet_decoders:
            pillow_warns("a broken tag")
        is_clean.append(warnings.filters == before)
        os._exit(0 if all(is_clean) else 1)

    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(read)
        inside.wait(10)
        child = multiprocessing.get_context("fork").Process(target=stays_quiet)
        child.start()
        forked.set()
        child.join(20)
        child.kill()
        task.result()
    assert child.exitcode == 0
    assert warnings.filters == before


def test_what_others_warn_of_is_heard():
    with quiet_decoders, pytest.warns(UserWarning, match="of training"):
        warnings.warn("of training", UserWarning, stacklevel=1)


def test_threads_that_overlap_leave_the_filters_as_they_were():
    before = list(warnings.filters)
    both_inside, one_left = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def leave_first():
        with quiet_decoders:
            both_inside.wait()
        one_left.wait()

    def leave_last():
        with quiet_decoders:
            both_inside.wait()
            one_left.wait()
            pillow_warns("still nothing")

    with ThreadPoolExecutor(2) as pool:
        for task in [pool.submit(leave_first), pool.submit(leave_last)]:
            task.result()
    assert warnings.filters == before


@pytest.mark.parametrize("category", [UserWarning, Image.DecompressionBombWarning])
def test_filters_of_others_are_left_alone(category):
    """Those that come and go meanwhile, and those that say nearly the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", category)
        before = list(warnings.filters)
        with quiet_decoders:
            temporary = warnings.catch_warnings()
            temporary.__enter__()
            warnings.simplefilter("ignore")
        temporary.__exit__(None, None, None)
        with quiet_decoders:
            pass
        assert warnings.filters == before


def test_only_bands_and_broken_tags_are_not_logged(caplog):
    pillow, tifffile = map(logging.getLogger, ("PIL.TiffImagePlugin", "tifffile"))
    with quiet_decoders:
        pillow.error("More samples per pixel than can be decoded: %s", 13)
        tifffile.warning("a broken tag")
        pillow.error("something else")
    pillow.error("More samples per pixel than can be decoded: %s", 13)
    tifffile.warning("a broken tag")
    found = [record.getMessage() for record in caplog.records]
    bands = "More samples per pixel than can be decoded: 13"
    assert found == ["something else", bands, "a broken tag"]
