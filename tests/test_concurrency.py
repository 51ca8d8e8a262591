"""One fitted estimator answers alike in one thread, in many, and in processes."""

import gc
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest

from skvit import PatchTransformer

N_THREADS = 8


def in_threads(function, parts):
    """Results of a function for several inputs, all threads starting at once."""
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(function, parts))


@pytest.fixture
def parts(digits):
    """Three times as many inputs as threads, of different lengths."""
    return np.array_split(digits[0], 3 * N_THREADS - 1)


def test_predictions(make_tiny, few_digits, parts):
    clf = make_tiny().fit(*few_digits)
    expected = [clf.predict_proba(part) for part in parts]
    for results in (in_threads(clf.predict_proba, parts) for _ in range(3)):
        for result, one in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, one)


def test_first_predictions_of_a_loaded_estimator(make_tiny, few_digits, parts):
    """The network is built by whichever thread comes first."""
    import pickle

    clf = make_tiny().fit(*few_digits)
    expected = clf.predict_proba(parts[0])
    loaded = pickle.loads(pickle.dumps(clf))
    for result in in_threads(loaded.predict_proba, [parts[0]] * N_THREADS):
        np.testing.assert_array_equal(result, expected)


def test_predictions_from_files(make_tiny, photo_tiles, tmp_path):
    tiles, y = photo_tiles
    paths = [tmp_path / f"{row}.npy" for row in range(len(tiles))]
    for path, tile in zip(paths, tiles, strict=True):
        np.save(path, tile)
    clf = make_tiny().fit(tiles, y)
    chunks = [paths[start : start + 10] for start in range(0, 31, 2)]
    for result, start in zip(
        in_threads(clf.predict_proba, chunks), range(0, 31, 2), strict=True
    ):
        expected = clf.predict_proba(tiles[start : start + 10])
        np.testing.assert_array_equal(result, expected)


@pytest.fixture
def switching():
    """Let threads change at every collection of garbage, and let those be many."""

    def give_way(phase, info):
        time.sleep(0)

    before = gc.get_threshold()
    gc.set_threshold(50)
    gc.callbacks.append(give_way)
    yield
    gc.callbacks.remove(give_way)
    gc.set_threshold(*before)


def test_arrays_opened_while_others_are(tmp_path, switching):
    """NumPy parses their heads as Python, which is not always safe in threads."""
    path = tmp_path / "image.npy"
    np.save(path, np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    patches = PatchTransformer(4).fit([path])
    expected = patches.transform([path] * 50)
    for result in in_threads(patches.transform, [[path] * 50] * 8 * N_THREADS):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_arrays_opened_in_a_process_forked_while_one_is(tmp_path, monkeypatch):
    path = tmp_path / "image.npy"
    np.save(path, np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    patches = PatchTransformer(4).fit([path])
    opening, open_memmap = threading.Event(), np.lib.format.open_memmap

    def open_slowly(*args, **kwargs):
        opening.set()
        time.sleep(0.5)
        return open_memmap(*args, **kwargs)

    monkeypatch.setattr(np.lib.format, "open_memmap", open_slowly)
    opener = threading.Thread(target=patches.transform, args=([path],))
    opener.start()
    opening.wait(30)
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=patches.transform, args=([path],))
    child.start()
    child.join(20)
    child.kill()
    opener.join()
    assert child.exitcode == 0


def test_patches(parts):
    patches = PatchTransformer(2).fit(parts[0])
    for result, part in zip(in_threads(patches.transform, parts), parts, strict=True):
        np.testing.assert_array_equal(result, patches.transform(part))


@pytest.mark.slow
def test_predictions_in_processes(make_tiny, few_digits, parts):
    clf = make_tiny().fit(*few_digits)
    expected = [clf.predict_proba(part) for part in parts]
    for backend in ("loky", "multiprocessing"):
        found = joblib.Parallel(2, backend=backend, timeout=120)(
            joblib.delayed(clf.predict_proba)(part) for part in parts
        )
        for result, one in zip(found, expected, strict=True):
            np.testing.assert_array_equal(result, one)
