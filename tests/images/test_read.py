import gc
import os
import tempfile
import threading
import time
import tracemalloc
import warnings
import weakref
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator

from skvit._images import ReadOptions, check_images
from skvit._images import _read as module
from skvit._images._read import FileReader, n_cores

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def paths(tmp_path, photo_tiles):
    """PNG files of the tiles of photographs."""
    paths = [tmp_path / f"{row}.png" for row in range(len(photo_tiles[0]))]
    for path, tile in zip(paths, photo_tiles[0], strict=True):
        Image.fromarray(tile).save(path)
    return paths


def reader(paths, **options):
    return FileReader(list(paths), "auto", ReadOptions(**options))


def door(X, spec=None, **options):
    return check_images(
        BaseEstimator(),
        X,
        reset=True,
        spec=spec,
        options=ReadOptions(**options),
    )


def texts(paths):
    return list(map(str, paths))


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        texts,
        lambda paths: np.array(texts(paths)),
        lambda paths: np.array(paths, object)[:, None],
        lambda paths: pd.Series(texts(paths)),
        lambda paths: pd.DataFrame({"path": texts(paths)}),
        lambda paths: pd.DataFrame({"path": paths}),
        lambda paths: pl.Series(texts(paths)),
        lambda paths: pl.DataFrame({"path": texts(paths)}),
    ],
)
def test_forms_of_paths(paths, photo_tiles, form):
    images, spec = door(form(paths))
    assert spec.shape == (32, 32, 3)
    assert images.shape == (40, 32, 32, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, photo_tiles[0])


def test_features_are_counted_but_not_named(paths):
    estimator = BaseEstimator()
    frame = pd.DataFrame({"path": texts(paths)})
    check_images(estimator, frame, reset=True)
    assert estimator.n_features_in_ == 32 * 32 * 3
    assert not hasattr(estimator, "feature_names_in_")


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("cache", [0, 10_000, 10**9])
def test_rows_in_any_order(paths, photo_tiles, cache, n_threads):
    files = reader(paths, cache=cache, n_threads=n_threads)
    rng = np.random.default_rng(0)
    for _ in range(6):
        rows, following = rng.permutation(40)[:7], rng.permutation(40)[:5]
        np.testing.assert_array_equal(files.read(rows), photo_tiles[0][rows])
        files.expect(following)
        if rng.random() < 0.5:  # what was expected need not be what comes
            read = files.read(following)
            np.testing.assert_array_equal(read, photo_tiles[0][following])


@pytest.fixture
def decoded(monkeypatch):
    """Names of the functions that decoded a file, in the order of the calls."""
    calls = []

    def counting(function):
        def count(*args):
            calls.append(function.__name__)
            return function(*args)

        return count

    for name in ("read_file", "read_picture"):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    return calls


def test_small_files_are_opened_once(paths, decoded):
    files = reader(paths)
    for _ in range(3):
        files.read(np.arange(40))
    assert decoded == ["read_picture"] * 40


def test_larger_files_are_decoded_when_asked_for(paths, decoded, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 0)
    files = reader(paths)
    assert not decoded
    for _ in range(3):
        files.read(np.arange(40))
    assert decoded == ["read_file"] * 40


def test_what_was_expected_is_not_decoded_again(paths, photo_tiles, decoded):
    files = reader(paths, cache=0, n_threads=1)
    expected, others = np.arange(1, 4), np.arange(7, 10)
    files.expect(expected)
    np.testing.assert_array_equal(files.read(expected), photo_tiles[0][expected])
    assert decoded == ["read_file"] * 3
    files.expect(expected)
    np.testing.assert_array_equal(files.read(others), photo_tiles[0][others])
    assert decoded == ["read_file"] * 9


@pytest.mark.parametrize("odd", [0, 3])
def test_small_files_that_are_unlike(paths, photo_tiles, decoded, odd):
    """What was kept on the way is forgotten where it is not what all become."""
    gray = photo_tiles[0][odd][..., 0]
    Image.fromarray(gray).save(paths[odd])
    expected = photo_tiles[0].copy()
    expected[odd] = gray[..., None]
    files = reader(paths, n_threads=1)
    np.testing.assert_array_equal(files.read(np.arange(40)), expected)
    assert decoded.count("read_file") == (40 if odd == 0 else 1)


def test_memory_does_not_grow_with_the_files(paths):
    peaks = []
    for times in (1, 10):
        files = reader(paths * times, cache=50_000, n_threads=1)
        tracemalloc.start()
        for start in range(0, 40 * times, 20):
            files.read(np.arange(start, start + 20))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 360 * 200  # bytes for each file's path and place


def test_broken_tags_of_readable_files_are_passed_over(tmp_path, photo_tiles, caplog):
    """Neither opening nor decoding warns or logs, as cameras write odd tags."""
    tifffile = pytest.importorskip("tifffile")
    tags = {"extratags": [(274, "H", 2, (1, 1), True)], "photometric": "rgb"}
    photo = np.tile(photo_tiles[0][0], (5, 5, 1))  # too large to be decoded at once
    tifffile.imwrite(tmp_path / "a.tif", photo, **tags)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0"
    Image.fromarray(photo).save(tmp_path / "b.jpg", exif=exif, quality=95)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        Image.open(tmp_path / "b.jpg").close()
    images, _ = door([tmp_path / "a.tif", tmp_path / "b.jpg"])
    assert len(images[:]) == 2
    assert not caplog.records


BROKEN = {
    "missing": (lambda path: path.unlink(), "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("x" * 99), "not an image in one of"),
    "cut head": (lambda path: path.write_bytes(path.read_bytes()[:20]), "row 7 of X"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "not a regular file"),
    "loop": (lambda path: (path.unlink(), path.symlink_to(path)), "symbolic links"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-90]), "truncated"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_error_names_file_and_row(paths, kind):
    damage, reason = BROKEN[kind]
    damage(paths[7])
    with pytest.raises(ValueError, match=reason) as caught:
        reader(paths).read(np.arange(40))
    assert f"row 7 of X, '{paths[7]}', cannot be read" in str(caught.value)


@pytest.mark.parametrize("kind", BROKEN)
def test_skipping_lists_them(paths, kind):
    damage, _ = BROKEN[kind]
    damage(paths[7])
    files = reader(paths, skip=True)
    ((row, path, reason),) = files.unreadable()
    assert (row, path) == (7, str(paths[7]))
    assert reason
    with pytest.raises(ValueError, match="row 7 of X"):
        files.read(np.arange(6, 9))


def test_reasons_of_files_that_fail_when_decoded(paths, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 0)
    damage, expected = BROKEN["truncated"]
    damage(paths[7])
    ((_, _, reason),) = reader(paths, skip=True).unreadable()
    assert expected in reason


@contextmanager
def without_rights():
    """Act as a user for whom the rights of files count, as they do not for root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="the rights of files of Unix")
def test_a_file_that_may_not_be_read(photo_tiles):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        files = [Path(folder) / f"{row}.npy" for row in range(3)]
        for path in files:
            np.save(path, photo_tiles[0][0])
        files[1].chmod(0)
        with without_rights(), pytest.raises(ValueError, match="permission") as caught:
            reader(files)
    assert f"row 1 of X, '{files[1]}', cannot be read" in str(caught.value)


@pytest.mark.parametrize("value", [None, np.nan, pd.NA, 3, b"a.png"])
def test_a_row_without_a_path(paths, value):
    with pytest.raises(ValueError, match=r"row 2 of X, .*not a path"):
        reader([*paths[:2], value])


def test_no_file_can_be_read():
    with pytest.raises(ValueError, match="None of the files in X can be read: there"):
        reader([Path("a.png"), Path("b.png")], skip=True)


@pytest.mark.parametrize("factor", [1, 3])
def test_decompression_bomb(paths, monkeypatch, factor):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32 // factor - 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match=r"row 0 .* more than PIL\.Image\.MAX"):
            reader(paths)
    assert not caught


def test_a_bomb_that_comes_under_way(paths, monkeypatch):
    files = reader(paths, n_threads=1, cache=0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32)
    Image.new("RGB", (33, 32)).save(paths[3])
    with pytest.raises(ValueError, match=r"row 3 of X.* more than PIL\.Image\.MAX"):
        files.read(np.arange(5))


def test_any_size_may_be_allowed(paths, photo_tiles, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    np.testing.assert_array_equal(reader(paths).read(np.arange(3)), photo_tiles[0][:3])


def test_a_file_that_changes_under_way(paths):
    files = reader(paths, n_threads=1, cache=0)
    Image.new("RGB", (5, 5)).save(paths[3])
    with pytest.raises(ValueError, match=r"row 3 of X.* become an image of shape \(5"):
        files.read(np.arange(5))


@pytest.fixture
def _uncollected():
    """Let nothing be freed but what nobody refers to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def n_readers():
    return sum(thread.name.startswith("skvit-read") for thread in threading.enumerate())


def wait_for(is_true):
    deadline = time.monotonic() + 10
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_true()


def fail_to_read(paths):
    files = reader(paths, n_threads=3, cache=10**6)
    with pytest.raises(ValueError, match="cannot be read"):
        files.read(np.arange(40))
    return weakref.ref(files)


def fail_to_read_in_advance(paths):
    files = reader(paths, n_threads=3)
    files.expect(np.arange(40))
    files.read(np.arange(3))
    return weakref.ref(files)


def fail_to_open(paths):
    paths[7].write_bytes(paths[7].read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be read"):
        reader(paths)
    return lambda: None


@pytest.mark.usefixtures("_uncollected")
@pytest.mark.parametrize("fail", [fail_to_read, fail_to_read_in_advance, fail_to_open])
def test_a_failure_keeps_neither_images_nor_threads(paths, monkeypatch, fail):
    monkeypatch.setattr(module, "_SMALL", 0)
    for row in (7, 8, 30):
        paths[row].write_bytes(paths[row].read_bytes()[:-90])
    assert wait_for(lambda: n_readers() == 0)
    files = fail(paths)
    assert wait_for(lambda: files() is None)
    assert wait_for(lambda: n_readers() == 0)


def test_sizes_are_listed(paths):
    Image.new("RGB", (30, 20)).save(paths[3])
    with pytest.raises(ValueError, match=r"\(32, 32\) \(39 images\), \(20, 30\) \(1 "):
        door(paths)


def test_different_sizes_are_resized(paths, photo_tiles):
    Image.new("RGB", (30, 20)).save(paths[3])
    images, spec = door(paths, size=(16, 16))
    assert spec.shape == (16, 16, 3)
    arrays, _ = door(list(photo_tiles[0]), size=(16, 16))
    others = np.arange(40) != 3
    np.testing.assert_array_equal(images[others], arrays[others])


def test_gray_among_coloured(paths, photo_tiles):
    gray = photo_tiles[0][3][..., 0]
    Image.fromarray(gray).save(paths[3])
    images, spec = door(paths)
    np.testing.assert_array_equal(images[3], np.dstack([gray] * 3))
    alone, _ = door([paths[3]], spec=spec)
    np.testing.assert_array_equal(alone[0], images[3])
    assert door([paths[3]])[1].channels == 1


def test_coloured_where_gray_was_fitted(paths):
    _, spec = door(paths[:2], color="gray")
    with pytest.raises(ValueError, match="3 channels, but BaseEstimator was fitted on"):
        door(paths[:2], spec=spec)


def test_kinds_are_listed(paths):
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(paths[3])
    with pytest.raises(ValueError, match=r"uint8 with 3 channels \(39\), uint16 with"):
        door(paths)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the platform does not bind processes"
)
def test_cores_are_those_of_the_process(monkeypatch):
    assert n_cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert n_cores() == 3


@pytest.mark.parametrize(("counted", "expected"), [(7, 7), (None, 1)])
def test_cores_of_other_platforms_are_all(monkeypatch, counted, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert n_cores() == expected
