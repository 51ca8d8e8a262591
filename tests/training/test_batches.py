import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity

from skvit._training import ImageData, Normalizer
from skvit._training._batches import OrderedBatches, TrainBatches, to_tensor

CPU = torch.device("cpu")
KINDS = ["u1", "?", "i1", "i2", "u2", "i8", "f2", "f4", "f8", ">f4", ">i2"]


def raw_images(kind="u1", shape=(7, 5, 6, 3)):
    values = np.random.default_rng(0).integers(0, 100, size=shape)
    return values.astype(np.dtype(kind))


def normalizer(channels=3, dtype=torch.float64):
    return Normalizer(np.arange(channels) + 1.5, np.arange(channels) + 2.5, dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalizer_is_the_formula_whatever_the_type(kind, dtype):
    images = raw_images(kind)
    normalize = normalizer(dtype=dtype)
    result = normalize(to_tensor(images))
    expected = (images.astype("f8") - normalize.mean) / normalize.std
    np.testing.assert_allclose(result, expected.transpose(0, 3, 1, 2), rtol=1e-5)
    assert result.dtype == dtype
    assert result.is_contiguous()


def test_normalizer_keeps_the_axes_of_sequences():
    patches = raw_images(shape=(4, 9, 16))
    result = Normalizer(np.array([3.0]), np.array([2.0]), torch.float64)(
        to_tensor(patches)
    )
    np.testing.assert_allclose(result, (patches - 3.0) / 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_keep_values_and_type(kind):
    images = raw_images(kind)
    tensor = to_tensor(images)
    assert tensor.numpy().dtype == images.dtype.newbyteorder("=")
    np.testing.assert_array_equal(tensor, images)


def test_tensors_are_copies_of_any_layout(tmp_path):
    images = raw_images()
    mapped = np.memmap(tmp_path / "images", "u1", "w+", shape=images.shape)
    mapped[:] = images
    locked = images.copy()
    locked.setflags(write=False)
    backwards = np.asfortranarray(images)[::-1, :, ::-2]
    for array in (images, mapped, locked, backwards):
        tensor = to_tensor(array)
        np.testing.assert_array_equal(tensor, array)
        assert not np.shares_memory(tensor.numpy(), array)


@pytest.mark.parametrize("index", [slice(2, 5), torch.tensor([4, 0, 0])])
def test_data_hands_out_rows_with_their_labels_and_weights(index):
    images, target = raw_images(), np.arange(7)
    weight = np.linspace(0, 2, 7)
    data = ImageData(images, normalizer(), CPU, target, weight)
    rows = index if isinstance(index, slice) else index.numpy()
    expected = normalizer()(to_tensor(images[rows]))
    assert len(data) == 7
    assert torch.equal(data.inputs(index), expected)
    labels, weights = data.labels(index)
    np.testing.assert_array_equal(labels, target[rows])
    np.testing.assert_array_equal(weights, weight[rows])


@pytest.mark.parametrize("index", [slice(2, 5), torch.tensor([4, 0, 0])])
def test_data_on_the_device_is_indexed_there(index):
    data, images = ImageData(raw_images(), normalizer(), CPU), raw_images()
    moved = ImageData(
        np.zeros_like(images), normalizer(), CPU, _resident=to_tensor(images)
    )
    assert torch.equal(moved.inputs(index), data.inputs(index))


def test_data_without_labels_or_weights():
    images = raw_images()
    assert ImageData(images, normalizer(), CPU).labels(slice(2)) == (None, None)
    labels, weights = ImageData(images, normalizer(), CPU, np.arange(7)).labels(
        slice(2)
    )
    assert labels.tolist() == [0, 1]
    assert weights is None


def test_weights_come_in_the_type_of_the_network():
    data = ImageData(
        raw_images(), normalizer(dtype=torch.float32), CPU, np.arange(7), np.ones(7)
    )
    assert data.labels(slice(None))[1].dtype == torch.float32


@pytest.mark.parametrize(
    ("kind", "device", "dtype"),
    [
        ("f8", "cpu", torch.float32),
        ("u2", "mps", torch.float32),
        ("u1", "cuda", torch.uint8),
        ("f8", "cuda", torch.float32),
    ],
)
def test_values_travel_in_a_type_that_the_device_holds(
    kind, device, dtype, monkeypatch
):
    monkeypatch.setattr(ImageData, "_fits_on_device", lambda _: False)
    data = ImageData(
        raw_images(kind), normalizer(dtype=torch.float32), torch.device(device)
    )
    raw = data._raw(slice(2, 4))
    assert raw.dtype == dtype
    np.testing.assert_array_equal(raw, data.images[2:4])


@pytest.mark.parametrize(("kind", "size"), [("u1", 1), ("u2", 4), ("f8", 4)])
def test_memory_of_an_accelerator_is_shared_with_training(monkeypatch, kind, size):
    monkeypatch.setattr(ImageData, "_all_on_device", lambda _: torch.zeros(1))
    images = np.zeros((50, 4, 4, 1), kind)  # 800 values, of so many bytes there
    normalize = normalizer(1, torch.float32)
    for free, is_resident in ((1600 * size, False), (1600 * size + 1, True)):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda _, n=free: (n, 10_000))
        data = ImageData(images, normalize, torch.device("cuda"))
        assert data.is_resident is is_resident


def test_all_images_are_copied_piece_by_piece(monkeypatch):
    monkeypatch.setattr("skvit._training._batches._LOADED", 4)
    data = numbered(10)
    np.testing.assert_array_equal(data._all_on_device().numpy(), data.images)


def numbered(n):
    """Return data whose images show their own number, which is also their label."""
    numbers = np.arange(n)
    images = np.broadcast_to(numbers[:, None, None, None], (n, 2, 2, 1))
    unscaled = Normalizer(np.zeros(1), np.ones(1), torch.float64)
    return ImageData(images, unscaled, CPU, numbers)


@pytest.mark.parametrize(("n", "batch_size"), [(23, 8), (24, 8), (5, 8), (9, 1)])
def test_a_pass_takes_every_image_once_in_batches_of_like_size(n, batch_size):
    batches = TrainBatches(numbered(n), batch_size, torch.Generator())
    parts = list(batches)
    sizes = [len(images) for images, _ in parts]
    assert len(batches) == len(parts) == int(np.ceil(n / batch_size))
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    for images, (labels, weights) in parts:
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        assert weights is None
    seen = torch.cat([labels for _, (labels, _) in parts])
    assert seen.sort().values.tolist() == list(range(n))


@pytest.mark.usefixtures("rng_is_untouched")
def test_order_is_the_generators():
    generator = torch.Generator().manual_seed(5)
    batches = TrainBatches(numbered(23), 8, generator)

    def order():
        return torch.cat([labels for _, (labels, _) in batches]).tolist()

    first, second = order(), order()
    assert first != second
    expected = torch.Generator().manual_seed(5)
    for passed in (first, second):
        assert passed == torch.randperm(23, generator=expected).tolist()


class Watched(ImageData):
    """Data that remember where the indices that they are asked for are kept."""

    def __post_init__(self):
        super().__post_init__()
        self.storages = set()

    def labels(self, index):
        self.storages.add(index.untyped_storage().data_ptr())
        return super().labels(index)


def test_indices_reach_the_device_once_in_a_pass():
    images = numbered(23)
    data = Watched(images.images, images.normalize, CPU, images.target)
    assert len(list(TrainBatches(data, 8, torch.Generator()))) == 3
    assert len(data.storages) == 1


class Reading(np.ndarray):
    """Images that remember which of them were expected."""

    def expect(self, rows):
        self.expected.append(rows.tolist())


def test_each_batch_is_expected_while_the_one_before_is_trained_on():
    images = numbered(10)
    reading = images.images.view(Reading)
    reading.expected = []
    data = ImageData(reading, images.normalize, CPU, images.target)
    labels = []
    for _, (some, _) in TrainBatches(data, 4, torch.Generator()):
        labels.append(some.tolist())
        assert len(reading.expected) == len(labels)
    assert reading.expected == [*labels[1:], []]


def test_ordered_batches_keep_the_order():
    parts = list(OrderedBatches(numbered(23), 10))
    assert [len(images) for images, _ in parts] == [10, 10, 3]
    seen = torch.cat([labels for _, (labels, _) in parts])
    assert seen.tolist() == list(range(23))


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False])
def test_batches_reach_the_accelerator(device, resident, monkeypatch):
    monkeypatch.setattr(ImageData, "_fits_on_device", lambda _: resident)
    data = ImageData(raw_images(), normalizer(), torch.device(device), np.arange(7))
    here = ImageData(raw_images(), normalizer(), CPU, np.arange(7))
    index = torch.tensor([6, 1, 1])
    assert data.inputs(index).device.type == device
    torch.testing.assert_close(data.inputs(index).cpu(), here.inputs(index))
    assert data.labels(index)[0].cpu().tolist() == [6, 1, 1]


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("dtype", ["?", *np.typecodes["AllInteger"], "e", "f", "d"])
def test_images_of_all_types_reach_the_accelerator(
    device, resident, dtype, monkeypatch
):
    monkeypatch.setattr(ImageData, "_fits_on_device", lambda _: resident)
    images = (np.arange(7 * 4 * 4).reshape(7, 4, 4, 1) % 100).astype(dtype)
    there, here = (
        ImageData(images, normalizer(), torch.device(place), np.arange(7))
        for place in (device, "cpu")
    )
    index = torch.tensor([6, 1, 1])
    torch.testing.assert_close(there.inputs(index).cpu(), here.inputs(index))


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False])
def test_a_pass_on_the_accelerator_copies_indices_once(device, resident, monkeypatch):
    monkeypatch.setattr(ImageData, "_fits_on_device", lambda _: resident)
    images = numbered(64)
    place = torch.device(device)
    data = ImageData(images.images.copy(), images.normalize, place, images.target)
    batches = TrainBatches(data, 4, torch.Generator())
    list(batches)  # statistics reach the device
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        labels = torch.cat([labels for _, (labels, _) in batches])
    copies = sum("Memcpy HtoD" in event.name for event in profile.events())
    assert copies == 1 + (0 if resident else len(batches))
    assert labels.sort().values.tolist() == list(range(64))
