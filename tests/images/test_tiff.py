import sys

import numpy as np
import pytest

from skvit._images._files import open_file, read_file
from skvit._images._quiet import quiet_decoders
from skvit._images._tiff import read_tiff, tiff_layout

tifffile = pytest.importorskip("tifffile")
Image = pytest.importorskip("PIL.Image")
TiffImagePlugin = pytest.importorskip("PIL.TiffImagePlugin")
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
    layout = tiff_layout(str(tmp_path / "a.tif"))
    assert layout == ((9, 7, 3), np.uint16, 1)
    np.testing.assert_array_equal(read_tiff(str(tmp_path / "a.tif")), values)


@pytest.mark.parametrize(
    ("options", "n_bands"),
    [
        ({"photometric": "rgb", "extrasamples": ["unspecified"]}, 4),
        ({"photometric": "rgb", "extrasamples": ["unspecified"] * 3}, 6),
        ({"photometric": "rgb", "extrasamples": ["unassalpha", "unspecified"]}, 5),
        ({"photometric": "minisblack", "planarconfig": "contig"}, 2),
    ],
)
def test_bands_that_pillow_passes_over(tmp_path, options, n_bands):
    values = RNG.integers(0, 256, (9, 7, n_bands), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with Image.open(tmp_path / "a.tif") as image:
        assert len(image.getbands()) < n_bands
    np.testing.assert_array_equal(decode(tmp_path / "a.tif"), values)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "int64"])
def test_whole_numbers_keep_their_sign_and_type(tmp_path, dtype):
    limits = np.iinfo(dtype)
    values = RNG.integers(limits.min, limits.max, (9, 7), dtype, endpoint=True)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    pixels = decode(tmp_path / "a.tif")
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels[..., 0], values)


@pytest.mark.parametrize("packing", [None, "lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize("predictor", [False, True])
def test_packings(tmp_path, packing, predictor):
    """Files that geographic tools write: packed, as differences, in tiles."""
    pytest.importorskip("imagecodecs")
    values = RNG.integers(0, 60000, (40, 33, 4), dtype=np.uint16)
    options = {"planarconfig": "contig", "tile": (16, 16), "compression": packing}
    predictor = predictor and packing not in {None, "packbits"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, values, photometric="minisblack", predictor=predictor, **options
    )
    np.testing.assert_array_equal(decode(path), values)


def test_packing_that_needs_another_library(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    values = np.zeros((9, 7, 3), np.uint16)
    tifffile.imwrite(path, values, photometric="rgb", compression="deflate")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {})
    with pytest.raises(ImportError, match=r"needs imagecodecs.*pip install 'skvit\[im"):
        open_file(str(path), "auto", "auto")


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("kind", ["uint8", "uint8 rgb", "uint16", "uint16 rgb"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_once(tmp_path, orientation, kind, compression):
    dtype, *colours = kind.split()
    values = RNG.integers(0, 256, (9, 7, 3 if colours else 1)).astype(dtype)
    by_pillow = not (colours and dtype == "uint16")
    if by_pillow:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        image = Image.fromarray(values.squeeze())
        image.save(tmp_path / "a.tif", tiffinfo=tags, compression=compression)
    else:
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extratags=[tag])
    by_hand = {  # TIFF 6.0, section 8: where row 0 and column 0 of the values are
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.transpose(1, 0, 2),
        6: np.rot90(values, -1),
        7: values[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(values),
    }
    np.testing.assert_array_equal(decode(tmp_path / "a.tif"), by_hand[orientation])


def test_palettes_of_several_pages(tmp_path):
    """Whatever reads them, palettes are looked up: page by page as Pillow does."""
    path = tmp_path / "a.tif"
    indices = RNG.integers(0, 256, (2, 9, 7), dtype=np.uint8)
    colors = RNG.integers(0, 2**16, (3, 256), dtype=np.uint16)
    tifffile.imwrite(path, indices, photometric="palette", colormap=colors)
    pages = []
    with Image.open(path) as image:
        for page in range(2):
            image.seek(page)
            pages.append(np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(decode(path), np.dstack(pages))


def test_no_other_file_is_opened(tmp_path):
    """The metadata of microscopes may name files that hold other parts of a series."""
    ome = """<?xml version="1.0"?><OME
    xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
    <Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="7" SizeY="9"
    SizeC="2" SizeZ="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>
    <Channel ID="Channel:0:1" SamplesPerPixel="1"/>
    <TiffData IFD="0" FirstC="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:1
    </UUID></TiffData><TiffData IFD="0" FirstC="1" PlaneCount="1">
    <UUID FileName="../secret.tif">urn:uuid:2</UUID></TiffData>
    </Pixels></Image></OME>"""
    folder = tmp_path / "folder"
    folder.mkdir()
    secret = np.full((9, 7), 7, np.uint16)
    tifffile.imwrite(tmp_path / "secret.tif", secret, metadata=None)
    values = RNG.integers(0, 60000, (3, 9, 7), dtype=np.uint16)
    path = folder / "a.ome.tif"
    options = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(path, values, description=ome, **options)
    assert 7 in tifffile.imread(path, series=0)
    np.testing.assert_array_equal(decode(path), np.moveaxis(values, 0, 2))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("missing", [1, 2, 5, 20])
def test_a_packed_file_that_is_cut_off(tmp_path, compression, missing):
    path = tmp_path / "a.tif"
    values = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(values).save(path, compression=compression)
    np.testing.assert_array_equal(decode(path), values)
    path.write_bytes(path.read_bytes()[:-missing])
    with quiet_decoders, pytest.raises(ValueError, match="it is truncated"):
        open_file(str(path), "auto", "auto")


@pytest.mark.parametrize("bands", [1, 3])
def test_a_file_without_pixels(tmp_path, bands):
    path = tmp_path / "a.tif"
    values = np.zeros((9, 7, bands), np.uint16)
    extra = {"photometric": "rgb" if bands == 3 else "minisblack", "metadata": None}
    tifffile.imwrite(path, values, **extra)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(0)
    with pytest.raises(ValueError, match="no pixels"):
        open_file(str(path), "auto", "auto")


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
    tiff_layout(str(tmp_path / "a.tif"))
    for limit in (15, 19):  # 16 pixels of five bands
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=rf"MAX_IMAGE_PIXELS = {limit}, of four"):
            tiff_layout(str(tmp_path / "a.tif"))


def test_without_the_library(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 4, 4)), photometric="minisblack")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    message = r"multi-page TIFF files needs tifffile.*pip install 'skvit\[images\]'"
    with pytest.raises(ImportError, match=message):
        decode(tmp_path / "a.tif")
