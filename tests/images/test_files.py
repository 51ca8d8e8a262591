import io
import struct
import zlib

import numpy as np
import pytest

from skvit._images._files import open_file, read_file

Image = pytest.importorskip("PIL.Image")
ImageFile = pytest.importorskip("PIL.ImageFile")
ImageOps = pytest.importorskip("PIL.ImageOps")
JpegImagePlugin = pytest.importorskip("PIL.JpegImagePlugin")
LOSSLESS = ["png", "bmp", "tiff", "gif", "webp"]


@pytest.fixture
def photo(photo_tiles):
    """A photograph that is wider than high."""
    return photo_tiles[0][3][:16]


def decode(path, color="auto", size=None, aspect="stretch", order="auto"):
    file = open_file(str(path), color, order)
    pixels = read_file(str(path), file, file.channels, size, aspect, order)
    if size is None:
        assert pixels.shape == (file.height, file.width, file.channels)
        assert pixels.dtype == file.dtype
    return pixels


@pytest.mark.parametrize("suffix", [*LOSSLESS, "jpg"])
def test_formats_of_pictures(tmp_path, photo, suffix):
    path = tmp_path / f"photo.{suffix}"
    image = Image.fromarray(photo)
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    pixels = decode(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))
    tolerance = {"jpg": 60, "gif": 60}.get(suffix, 0)  # both lose colours
    assert np.abs(pixels - photo.astype(int)).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif"])
def test_gray_pictures(tmp_path, photo, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo[..., 0]).save(path)
    np.testing.assert_array_equal(decode(path)[..., 0], photo[..., 0])


def test_the_suffix_does_not_matter(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo", format="PNG")
    np.testing.assert_array_equal(decode(tmp_path / "photo"), photo)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_first_frame_of_several(tmp_path, photo, suffix):
    path = tmp_path / f"film.{suffix}"
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_allclose(decode(path).astype(int), photo, atol=60)


@pytest.mark.parametrize("size", [None, (8, 8)])
@pytest.mark.parametrize("aspect", ["stretch", "pad"])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(tmp_path, photo, orientation, suffix, aspect, size):
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(path, exif=exif)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
    if size is not None and aspect == "stretch":
        upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    elif size is not None:
        upright = ImageOps.pad(upright, size[::-1], Image.Resampling.BILINEAR)
    pixels = decode(path, size=size, aspect=aspect)
    tolerance = 0 if size is None else 12  # a JPEG is decoded at the least size
    np.testing.assert_allclose(pixels.astype(int), np.asarray(upright), atol=tolerance)


def insert_chunk(path, kind, body, place):
    """Put a chunk behind the head of a PNG, which takes 33 bytes, or before its end."""
    content, kind = path.read_bytes(), kind.encode()
    place = {"first": 33, "last": len(content) - 12}[place]
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content[:place] + chunk + content[place:])


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def xmp_of(orientation):
    return b'<rdf:Description tiff:Orientation="%d"/>' % orientation


def xmp_element_of(orientation):
    return b"<tiff:Orientation>%d</tiff:Orientation>" % orientation


def text_of(orientation):
    return b"XML:com.adobe.xmp" + bytes(5) + xmp_of(orientation)


def raw_profile_of(orientation):
    exif = exif_of(orientation)
    profile = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
    return b"Raw profile type exif\0\0" + zlib.compress(profile)


CHUNKS = {"eXIf": exif_of, "iTXt": text_of, "zTXt": raw_profile_of}


def save_with_xmp(path, image, orientation, xmp):
    image.save(path, xmp=xmp(orientation))


def save_with_chunk(path, image, orientation, kind, place):
    image.save(path)
    insert_chunk(path, kind, CHUNKS[kind](orientation), place)


ORIENTED = {
    "JPEG, XMP": ("jpg", save_with_xmp, xmp_of),
    "JPEG, XMP element": ("jpg", save_with_xmp, xmp_element_of),
    "WebP, XMP": ("webp", save_with_xmp, xmp_of),
    **{
        f"PNG, {place} {kind}": ("png", save_with_chunk, kind, place)
        for kind in CHUNKS
        for place in ("first", "last")
    },
}


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("where", ORIENTED)
def test_orientation_wherever_it_stands(tmp_path, photo, where, orientation):
    suffix, save, *how = ORIENTED[where]
    path = tmp_path / f"photo.{suffix}"
    save(path, Image.fromarray(photo), orientation, *how)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert (upright.shape == photo.shape) == (orientation < 5)
    np.testing.assert_array_equal(decode(path), upright)


@pytest.mark.parametrize(
    ("kind", "body", "place", "is_decoded"),
    [
        ("iTXt", text_of(6), "first", False),
        ("tEXt", b"date:create\x002026-11-28", "last", False),
        ("eXIf", exif_of(6), "last", True),
    ],
    ids=["early tags", "late date", "late tags"],
)
def test_what_makes_opening_decode(
    tmp_path, photo, monkeypatch, kind, body, place, is_decoded
):
    Image.fromarray(photo).save(tmp_path / "a.png")
    insert_chunk(tmp_path / "a.png", kind, body, place)
    decoded, load = [], ImageFile.ImageFile.load
    monkeypatch.setattr(
        ImageFile.ImageFile, "load", lambda self: decoded.append(self) or load(self)
    )
    open_file(str(tmp_path / "a.png"), "auto", "auto")
    assert bool(decoded) == is_decoded


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("eXIf", b"what is no head of Exif"),
        ("zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"1\n2\n3\nxyz")),
        ("tEXt", b"xmp\0of text, where Pillow expects bytes"),
    ],
)
def test_broken_tags_change_nothing(tmp_path, photo, kind, body, place):
    Image.fromarray(photo).save(tmp_path / "a.png")
    insert_chunk(tmp_path / "a.png", kind, body, place)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), photo)


def test_an_invalid_orientation_changes_nothing(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.fromarray(photo).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "photo.png"), photo)


def test_large_jpeg_is_read_at_the_size_asked_for(tmp_path):
    from sklearn.datasets import load_sample_image

    photo = Image.fromarray(load_sample_image("china.jpg"))
    photo.save(tmp_path / "photo.jpg", quality=95)
    pixels = decode(tmp_path / "photo.jpg", size=(48, 64))
    own = np.asarray(photo.resize((64, 48), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels - own).mean() < 1.5
    assert np.abs(pixels - own).max() < 15


def test_a_turned_jpeg_is_decoded_at_twice_the_size_as_stored(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (640, 427)).save(tmp_path / "photo.jpg", exif=exif)
    own, asked = JpegImagePlugin.JpegImageFile.draft, []

    def draft(image, mode, size):
        asked.append(size)
        return own(image, mode, size)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", draft)
    assert decode(tmp_path / "photo.jpg", size=(160, 40)).shape == (160, 40, 3)
    assert asked == [(320, 80)]  # width and height


def test_color_is_chosen(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    gray = np.asarray(Image.fromarray(photo).convert("L"))
    np.testing.assert_array_equal(decode(tmp_path / "photo.png", "gray")[..., 0], gray)
    rgba = decode(tmp_path / "photo.png", "rgba")
    np.testing.assert_array_equal(rgba[..., :3], photo)
    assert (rgba[..., 3] == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_of_gray_are_kept(tmp_path, suffix):
    deep = np.arange(0, 60000, 100, dtype=np.uint16).reshape(20, 30)
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    pixels = decode(tmp_path / f"deep.{suffix}")
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[..., 0], deep)


def test_bmp_of_sixteen_bits_for_all_colours(tmp_path):
    """Five, six and five bits, which eight hold."""
    masks = np.array([0xF800, 0x07E0, 0x001F], "<u4")
    head = b"BM" + np.array([70, 0, 66], "<u4").tobytes()
    sizes = np.array([40, 2, 1], "<u4").tobytes() + np.array([1, 16], "<u2").tobytes()
    rest = np.array([3, 4, 0, 0, 0, 0], "<u4").tobytes() + masks.tobytes()
    pixels = np.array([0xF800, 0x07FF], "<u2").tobytes()
    (tmp_path / "photo.bmp").write_bytes(head + sizes + rest + pixels)
    expected = [[[255, 0, 0], [0, 255, 255]]]
    np.testing.assert_array_equal(decode(tmp_path / "photo.bmp"), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", ">f8", "int16"])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (6, 5, 13), (3, 6, 5)])
def test_arrays(tmp_path, shape, dtype):
    values = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    order = "last" if shape[-1] == 13 else "auto"
    pixels = decode(tmp_path / "a.npy", order=order)
    expected = values[..., None] if len(shape) == 2 else values
    if shape[0] == 3:
        expected = np.moveaxis(values, 0, 2)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 2), complex), "dtype complex128"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.full((2, 2), np.nan), "NaN"),
        (np.full((2, 2), 1e300), "beyond the range"),
        (np.array([[{}, {}]]), "Python objects"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        decode(tmp_path / "a.npy")


def test_postscript_is_never_run(tmp_path):
    image = Image.new("RGB", (2, 2))
    buffer = io.BytesIO()
    image.save(buffer, "EPS")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with pytest.raises(Image.UnidentifiedImageError, match="cannot identify"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize(
    "url", ["http://example.org/a.png", "file:///tmp/a.png", "s3://bucket/a.png"]
)
def test_nothing_is_fetched(url):
    with pytest.raises(ValueError, match="nothing is ever fetched"):
        decode(url)


@pytest.mark.parametrize("path", ["C://photos/x.png", "photos/a://b.png", "://a.png"])
def test_paths_that_are_no_urls(path):
    with pytest.raises(FileNotFoundError, match="No such file"):
        decode(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="not a regular file"):
        decode(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match="it is empty"):
        decode(tmp_path / "empty.png")
