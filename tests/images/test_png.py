import struct
import sys
import zlib

import numpy as np
import pytest

from skvit._images._files import open_file, read_file
from skvit._images._png import deep_png_bands, has_late_tags

Image = pytest.importorskip("PIL.Image")
TYPES = {2: 3, 4: 2, 6: 4}  # colour type of the PNG standard: number of bands
MARK = b"\x89PNG\r\n\x1a\n"


def chunk(kind, body):
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def write_png(path, values, colour_type, *between, after=b""):
    """Write a PNG as its standard says, each row as differences from the one above."""
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    lines = np.insert(rows - above, 0, 2, axis=1)  # filter 2, "up"
    chunks = [chunk(b"IHDR", head), *between]
    chunks += [chunk(b"IDAT", zlib.compress(lines.tobytes())), after]
    chunks += [chunk(b"IEND", b"")]
    path.write_bytes(MARK + b"".join(chunks))


def decode(path):
    file = open_file(str(path), "auto", "auto")
    pixels = read_file(str(path), file, file.channels, None, "pad", "auto")
    assert pixels.shape == (file.height, file.width, file.channels)
    assert pixels.dtype == file.dtype
    return pixels


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(0, 2**16, (5, 7, 4), dtype=np.uint16)


@pytest.mark.parametrize("colour_type", TYPES)
def test_no_bit_is_lost(tmp_path, values, colour_type):
    pytest.importorskip("imagecodecs")
    values = values[..., : TYPES[colour_type]]
    write_png(tmp_path / "a.png", values, colour_type)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), values)
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).dtype == np.uint8


def test_transparent_colour(tmp_path, values):
    pytest.importorskip("imagecodecs")
    transparent = chunk(b"tRNS", values[0, 0, :3].astype(">u2").tobytes())
    write_png(tmp_path / "a.png", values[..., :3], 2, transparent)
    pixels = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels[..., :3], values[..., :3])
    assert (pixels[..., 3] == 0).sum() == 1
    assert pixels[0, 0, 3] == 0


@pytest.mark.parametrize("is_late", [False, True])
def test_orientation_is_honoured(tmp_path, values, is_late):
    pytest.importorskip("imagecodecs")
    exif = Image.Exif()
    exif[0x0112] = 6
    tag = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    before, after = (b"", tag) if is_late else (tag, b"")
    write_png(tmp_path / "a.png", values, 6, before, after=after)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.rot90(values, -1))


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("side", [9, 300])
def test_tags_behind_few_and_many_pixels(tmp_path, side, is_late):
    values = np.random.default_rng(0).integers(0, 2**16, (side, side, 3))
    tag = chunk(b"eXIf", bytes(2**16))
    before, after = (b"", tag) if is_late else (tag, b"")
    write_png(tmp_path / "a.png", values, 2, before, after=after)
    with Image.open(tmp_path / "a.png") as image:
        assert has_late_tags(image) == is_late


def test_a_part_is_an_error(tmp_path, values):
    pytest.importorskip("imagecodecs")
    write_png(tmp_path / "a.png", values, 6)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:-40])
    with pytest.raises(Exception, match="too small"):
        decode(tmp_path / "a.png")


def test_without_the_library(tmp_path, values, monkeypatch):
    write_png(tmp_path / "a.png", values, 6)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    message = r"16 bits for each colour needs imagecodecs.*pip install 'skvit\[images"
    with pytest.raises(ImportError, match=message):
        open_file(str(tmp_path / "a.png"), "auto", "auto")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pillow_reads_all_others(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert deep_png_bands(image) == 0
