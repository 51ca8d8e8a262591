import numpy as np
import pytest

from skvit._images._tiff_whole import check_whole

tifffile = pytest.importorskip("tifffile")
VALUES = np.random.default_rng(0).integers(0, 2**16, (40, 33, 3), dtype=np.uint16)
KINDS = {
    "strips": {"compression": "zlib", "rowsperstrip": 8},
    "one strip": {"compression": "zlib"},
    "tiles": {"compression": "zlib", "tile": (16, 16)},
    "big": {"compression": "zlib", "bigtiff": True},
    "other byte order": {"compression": "zlib", "byteorder": ">"},
    "big, other byte order": {"compression": "zlib", "bigtiff": True, "byteorder": ">"},
}


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", VALUES, photometric="rgb", **KINDS[request.param]
    )
    return tmp_path / "a.tif"


def end_of_values(path):
    """Return the first byte behind all that the file says of its image."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        strips = zip(page.dataoffsets, page.databytecounts, strict=True)
        ends = [start + length for start, length in strips]
        needed = ("BitsPerSample", "StripOffsets", "TileOffsets", "TileByteCounts")
        tags = [page.tags[name] for name in needed if name in page.tags]
        ends += [tag.valueoffset + tag.valuebytecount for tag in tags]
        return max(ends)


def test_whole_files(path):
    check_whole(str(path))
    path.write_bytes(path.read_bytes() + b"more")
    check_whole(str(path))


def test_files_that_are_cut_off(path):
    content = path.read_bytes()
    end = end_of_values(path)
    for n_bytes in {*range(8, 300), end // 2, end - 2, end - 1}:
        path.write_bytes(content[:n_bytes])
        with pytest.raises(ValueError, match="it is truncated"):
            check_whole(str(path))


def test_pixels_that_are_not_packed_are_left_to_the_reader(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VALUES, photometric="rgb")
    path.write_bytes(path.read_bytes()[:-1])
    check_whole(str(path))


def test_broken_tags_that_nobody_needs(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VALUES, photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        software = file.pages[0].tags["Software"]
        handle = file.filehandle
        handle.seek(software.offset + 8)
        handle.write(b"\xff\xff\xff\x7f")
    check_whole(str(path))
