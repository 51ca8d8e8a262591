import numpy as np
import pytest

from skvit._images._files import open_file, read_file
from skvit._images._tiff import read_tiff, tiff_layout

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)


def decode(path):
    file = open_file(str(path), "auto", "auto")
    return read_file(str(path), file, file.channels, None, "pad", "auto")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((9, 7), {"photometric": "minisblack"}),
        ((9, 7, 3), {"photometric": "rgb"}),
        ((9, 7, 13), {"photometric": "minisblack", "planarconfig": "contig"}),
        ((13, 9, 7), {"photometric": "minisblack", "planarconfig": "separate"}),
        ((5, 9, 7), {"photometric": "minisblack"}),
    ],
)
def test_nothing_is_lost(tmp_path, shape, options, dtype):
    values = RNG.integers(0, 255, shape).astype(dtype)
    if np.dtype(dtype).kind != "f":
        values = values * (np.iinfo(dtype).max // 255)
    tifffile.imwrite(tmp_path / "a.tif", values.astype(dtype), **options)
    expected = values
    if len(shape) == 2:
        expected = values[..., None]
    elif shape[:1] in {(13,), (5,)}:
        expected = np.moveaxis(values, 0, 2)
    pixels = decode(tmp_path / "a.tif")
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, expected)


def test_other_byte_order(tmp_path):
    values = RNG.integers(0, 60000, (9, 7, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=">", photometric="rgb")
    shape, dtype = tiff_layout(str(tmp_path / "a.tif"))
    assert (shape, dtype) == ((9, 7, 3), np.uint16)
    np.testing.assert_array_equal(read_tiff(str(tmp_path / "a.tif")), values)


def test_complex_values_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 7), np.complex64))
    with pytest.raises(ValueError, match="not real numbers"):
        decode(tmp_path / "a.tif")


def test_too_many_bands(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((65, 4, 4)), photometric="minisblack")
    with pytest.raises(ValueError, match="65 bands; an image has at most 64"):
        tiff_layout(str(tmp_path / "a.tif"))


def test_decompression_bomb(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 4, 4)), photometric="minisblack")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 15)
    with pytest.raises(
        ValueError, match=r"more than PIL\.Image\.MAX_IMAGE_PIXELS = 15"
    ):
        tiff_layout(str(tmp_path / "a.tif"))
