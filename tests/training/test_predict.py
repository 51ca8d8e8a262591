import numpy as np
import pytest
import torch
from scipy import ndimage

from skvit._training import ImageData, Normalizer, predict_logits
from skvit._training import _predict as module_under_test
from skvit._training._predict import batch_size_for, shifted_views

CPU = torch.device("cpu")
VIEWS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]


@pytest.fixture
def batches_of(monkeypatch):
    """Return a function that fixes how many images are predicted at first."""
    return lambda n: monkeypatch.setattr(
        module_under_test, "batch_size_for", lambda *_: n
    )


def direct(module, data):
    with torch.no_grad():
        return module.eval()(data.inputs(slice(None))).numpy()


@pytest.mark.parametrize("size", [1, 7, 22, 23, 1000])
def test_outputs_are_the_same_in_batches_of_any_size(
    make_module, make_data, batches_of, size
):
    batches_of(size)
    module, data = make_module().eval(), make_data()
    logits = predict_logits(module, data, "float64")
    np.testing.assert_allclose(logits, direct(module, data), rtol=0, atol=1e-13)
    assert logits.dtype == np.float64


@pytest.mark.parametrize("n_views", [1, 5])
def test_threads_that_share_images_predict_as_one_does(
    one_thread, make_module, make_limited, make_data, n_views
):
    module, data = make_module(embed_dim=512).eval(), make_data(22)
    alone = predict_logits(module, data, "float64", n_views)
    torch.set_num_threads(4)
    limited = make_limited(module, 100, None)
    shared = predict_logits(limited, data, "float64", n_views)
    np.testing.assert_allclose(shared, alone, rtol=0, atol=1e-12)
    assert sorted(limited.sizes) == sorted(n_views * [5, 6, 5, 6])
    assert torch.get_num_threads() == 4


def test_any_thread_may_find_too_little_memory(
    one_thread, make_module, make_limited, make_data
):
    module, data = make_module(embed_dim=512).eval(), make_data(22)
    alone = predict_logits(module, data, "float64")
    torch.set_num_threads(4)
    limited = make_limited(module, 5, OUT_OF_MEMORY[0])  # others have six images
    shared = predict_logits(limited, data, "float64")
    np.testing.assert_allclose(shared, alone, rtol=0, atol=1e-12)
    assert sum(limited.sizes[4:]) == 22


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_batches_are_halved_until_they_fit(
    make_module, make_limited, make_data, batches_of, error
):
    batches_of(16)
    module, data = make_module().eval(), make_data()
    limited = make_limited(module, 5, error)
    logits = predict_logits(limited, data, "float64")
    np.testing.assert_allclose(logits, direct(module, data), rtol=0, atol=1e-13)
    assert limited.sizes == [16, 8, 4, 4, 4, 4, 4, 3]


def test_the_first_batch_is_no_larger_than_the_data(
    make_module, make_limited, make_data
):
    limited = make_limited(make_module().eval(), 6, OUT_OF_MEMORY[0])
    predict_logits(limited, make_data(24), "float64")
    assert limited.sizes[:3] == [24, 12, 6]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_one_image_too_many_says_what_to_change(
    make_module, make_limited, make_data, batches_of, error
):
    batches_of(4)
    limited = make_limited(make_module().eval(), 0, error)
    with pytest.raises(MemoryError, match=r"One image does not fit .* `patch_size`"):
        predict_logits(limited, make_data(), "float64")
    assert limited.sizes == [4, 2, 1]


def test_other_errors_are_not_taken_for_lack_of_memory(
    make_module, make_limited, make_data, batches_of
):
    batches_of(4)
    limited = make_limited(make_module(), 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        predict_logits(limited, make_data(), "float64")
    assert limited.sizes == [4]


def test_batches_shrink_as_images_cost_more(make_module):
    small = make_module()
    wide = make_module(embed_dim=512)
    large = make_module(image_size=(512, 512), patch_size=(256, 256))
    assert batch_size_for(large, CPU) == 31  # as many as 32 MiB hold in float32
    long = make_module(image_size=(128, 128), patch_size=(2, 2))
    sizes = [batch_size_for(module, CPU) for module in (small, wide, long)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    accelerator = torch.device("cuda")
    assert batch_size_for(wide, accelerator) > batch_size_for(wide, CPU)
    assert batch_size_for(small, accelerator) == 4096
    assert batch_size_for(wide, CPU, 8) < batch_size_for(wide, CPU)


@pytest.mark.parametrize(("n_views", "atol"), [(1, 1e-13), (5, 1e-12), (9, 1e-12)])
def test_views_are_shifted_by_one_pixel(make_module, make_data, n_views, atol):
    module, data = make_module().eval(), make_data()
    shifted = [
        ndimage.shift(data.images, (0, *offset, 0), order=0, mode="nearest")
        for offset in VIEWS[:n_views]
    ]
    expected = np.mean(
        [direct(module, ImageData(x, data.normalize, CPU)) for x in shifted], axis=0
    )
    logits = predict_logits(module, data, "float64", n_views)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=atol)


def test_views_of_rectangles_are_all_different():
    images = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    views = shifted_views(images, 9)
    assert torch.equal(views[0], images)
    assert all(view.shape == images.shape for view in views)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 9


def test_sequences_have_one_view(make_module):
    module = make_module(patch_embed="sequence", sequence_shape=(6, 4)).eval()
    patches = np.random.default_rng(0).normal(size=(5, 6, 4))
    normalize = Normalizer(np.zeros(1), np.ones(1), torch.float64)
    data = ImageData(patches, normalize, CPU)
    logits = predict_logits(module, data, "float64", 5)
    np.testing.assert_allclose(logits, direct(module, data), rtol=0, atol=1e-13)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_reduced_precision_still_gives_single_precision(
    make_module, make_data, precision
):
    module = make_module(torch.float32).eval()
    data = make_data(dtype=torch.float32)
    logits = predict_logits(module, data, precision)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, direct(module, data), atol=2e-2)


@pytest.mark.usefixtures("rng_is_untouched")
def test_predicting_draws_and_keeps_nothing(make_module, make_data):
    module, data = make_module(drop_rate=0.5).eval(), make_data()
    first = predict_logits(module, data, "float64")
    np.testing.assert_array_equal(first, predict_logits(module, data, "float64"))
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.gpu
def test_predicting_on_the_accelerator(device, make_module, make_data):
    place = torch.device(device)
    there = predict_logits(
        make_module(device=place).eval(), make_data(device=place), "float64"
    )
    here = predict_logits(make_module().eval(), make_data(), "float64")
    np.testing.assert_allclose(there, here, atol=1e-10)
