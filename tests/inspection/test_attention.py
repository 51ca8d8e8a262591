import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from skvit import Architecture, ViTClassifier
from skvit.inspection import attention_maps, attention_rollout

CASES = [("token", 0), ("token", 2), ("mean", 0), ("mean", 1), ("seqpool", 0)]
CASES += [("seqpool", 2), ("map", 0), ("map", 1)]
each_case = pytest.mark.parametrize(("pool", "registers"), CASES)


def numpy_rollout(maps, fuse, ratio):
    """Matrix of one image from attention of shape (layers, heads, tokens, tokens)."""
    n_tokens = maps.shape[-1]
    product = np.eye(n_tokens)
    for heads in maps:
        fused = fuse(heads, axis=0)
        order = np.argsort(fused, axis=None, kind="stable")
        for flat in order[: int(ratio * n_tokens**2)]:
            fused[flat // n_tokens, flat % n_tokens] = 0
        flow = fused + np.eye(n_tokens)
        for row in flow:
            row /= row.sum()
        product = flow @ product
    return product


@each_case
def test_maps_are_those_of_the_formulas(
    make_classifier, numpy_network, images, pool, registers
):
    clf = make_classifier(pool, registers)
    maps = attention_maps(clf, images)
    pooled = attention_maps(clf, images, queries="pool")
    for n, image in enumerate(images):
        _, seen, pooling = numpy_network(clf).forward(image)
        np.testing.assert_allclose(maps[n], seen, atol=1e-10)
        reading = numpy_network(clf).reading(pooling)
        np.testing.assert_allclose(pooled[n], reading @ np.array(seen), atol=1e-10)
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(pooled.sum(-1), 1, atol=1e-12)


def test_maps_are_exact_where_predictions_take_the_fused_path(rng_images):
    clf, X = rng_images
    network = clf.module_
    assert not network.blocks[0].attention.is_explicit(torch.zeros(1, 1, 289, 4))
    maps = attention_maps(clf, X)
    assert maps.shape == (2, 1, 2, 289, 289)
    x = torch.from_numpy((X - clf.channel_mean_) / clf.channel_std_)[:, None].float()
    block = network.blocks[0]
    with torch.no_grad():
        embedded = network.pos_embed(network.prefix(network.patch_embed(x)))
        tokens = block.norm1(embedded)
        qkv = block.attention.qkv(tokens).unflatten(-1, (3, 2, -1)).double()
        q, k, v = qkv.permute(2, 0, 3, 1, 4).numpy()
        scores = q @ k.swapaxes(-1, -2) * block.attention.scale
        expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        mixed = (expected @ v).swapaxes(1, 2).reshape(2, 289, -1)
        proj = block.attention.proj(torch.from_numpy(mixed).float())
        np.testing.assert_allclose(proj, block.attention(tokens), atol=1e-6)
    np.testing.assert_allclose(maps[:, 0], expected, atol=1e-6)


@pytest.fixture
def rng_images():
    """A classifier of 17 x 17 patches and two images for it."""
    X = np.random.default_rng(0).random((2, 17, 17))
    linear = Architecture(patch_embed="linear", pos_bias="none")
    clf = ViTClassifier(1, embed_dim=8, depth=1, num_heads=2, max_epochs=1)
    clf.set_params(architecture=linear, pool="mean", precision="float32")
    return clf.fit(X, [0, 1]), X


def test_layers_and_heads_are_those_asked_for(make_classifier, images):
    clf = make_classifier("token", 2)
    everything = attention_maps(clf, images)
    some = attention_maps(clf, images, layers=-1, heads=[1, 0], queries=[0, 4])
    expected = everything[:, [1]][:, :, [1, 0]][:, :, :, [0, 4]]
    np.testing.assert_array_equal(some, expected)


def test_only_what_was_asked_for_is_recorded(make_classifier, images, monkeypatch):
    from skvit.inspection._network import OpenNetwork

    asked = []
    watch = OpenNetwork.watch

    def spy(self, part, *patterns):
        record = watch(self, part, *patterns)
        asked.append(set(record))
        return record

    monkeypatch.setattr(OpenNetwork, "watch", spy)
    attention_maps(make_classifier("token"), images, layers=1)
    assert asked == [{"block01/attention"}]


def test_memory_is_that_of_what_was_asked_for():
    """All layers' weights of all images would take 0.9 GB here."""
    pytest.importorskip("resource", reason="needs a POSIX system")
    code = """
import resource
import numpy as np
from skvit import Architecture, ViTClassifier
from skvit.inspection import attention_maps, attention_rollout
X = np.random.default_rng(0).random((80, 34, 34))
clf = ViTClassifier(2, embed_dim=8, depth=8, num_heads=4, max_epochs=1)
clf.set_params(architecture=Architecture(patch_embed="linear"), device="cpu")
clf.fit(X[:4], [0, 1, 0, 1])
attention_maps(clf, X[:4], layers=-1, queries="pool")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attention_maps(clf, X, layers=-1, queries="pool")
attention_rollout(clf, X, queries=[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1.6


def test_pixels_have_their_patches_weight(make_classifier, images):
    clf = make_classifier("token", 2)
    maps = attention_maps(clf, images)[..., 3:]
    pixels = attention_maps(clf, images, upsample=True)
    assert pixels.shape == (5, 2, 2, 9, 7, 8)
    for row in range(7):
        for column in range(8):
            patch = (row // 3) * 2 + column // 4
            np.testing.assert_array_equal(pixels[..., row, column], maps[..., patch])


@each_case
@pytest.mark.parametrize(
    ("fusion", "ratio"), [("mean", 0.0), ("max", 0.4), ("min", 0.9), ("mean", 0.97)]
)
def test_rollout_is_that_of_the_formulas(
    make_classifier, numpy_network, images, pool, registers, fusion, ratio
):
    clf = make_classifier(pool, registers)
    options = {"head_fusion": fusion, "discard_ratio": ratio}
    rollout = attention_rollout(clf, images, **options)
    matrices = attention_rollout(clf, images, queries=None, **options)
    fuse = {"mean": np.mean, "max": np.max, "min": np.min}[fusion]
    assert rollout.shape == (5, 3, 2)
    for n, image in enumerate(images):
        network = numpy_network(clf)
        _, seen, pooling = network.forward(image)
        expected = numpy_rollout(np.array(seen), fuse, ratio)
        np.testing.assert_allclose(matrices[n], expected, atol=1e-10)
        row = (network.reading(pooling) @ expected)[network.config.num_prefix_tokens :]
        np.testing.assert_allclose(rollout[n].ravel(), row, atol=1e-10)
    np.testing.assert_allclose(matrices.sum(-1), 1, atol=1e-12)
    assert (rollout.sum((1, 2)) <= 1 + 1e-12).all()


def test_equal_weights_are_discarded_together_or_not_at_all():
    from skvit.inspection._attention import _step

    heads = torch.tensor([[[[0.5, 0.2, 0.3], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]]])
    kept = torch.tensor([[0.5, 0.2, 0.3], [0.2, 0.6, 0.2], [0.0, 0.0, 0.8]])
    flow = kept + torch.eye(3)
    torch.testing.assert_close(
        _step(heads.double(), "mean", 0.4)[0],
        (flow / flow.sum(1, keepdim=True)).double(),
    )


@pytest.mark.parametrize("pool", ["token", "seqpool"])
def test_batches_change_nothing(make_classifier, images, pool, monkeypatch):
    clf = make_classifier(pool, 1)
    monkeypatch.setattr("skvit.inspection._network.batch_size_for", lambda *_: 1)
    for function in (attention_maps, attention_rollout):
        one_by_one = np.concatenate([function(clf, image[None]) for image in images])
        np.testing.assert_allclose(function(clf, images), one_by_one, atol=1e-12)


def test_rollout_of_some_tokens_and_pixels(make_classifier, images):
    clf = make_classifier("token", 1)
    matrices = attention_rollout(clf, images, queries=None)
    rows = attention_rollout(clf, images, queries=[0, -1])
    np.testing.assert_allclose(rows, matrices[:, [0, -1]], atol=1e-12)
    pixels = attention_rollout(clf, images, upsample=True)
    assert pixels.shape == (5, 7, 8)
    np.testing.assert_array_equal(pixels[:, ::3, ::4], attention_rollout(clf, images))


FORMS = {
    "channels last": lambda X: X[..., None],
    "channels first": lambda X: X[:, None],
    "flat rows": lambda X: X.reshape(len(X), -1),
    "data frame": lambda X: pd.DataFrame(X.reshape(len(X), -1)),
    "lists": lambda X: X.tolist(),
    "tensor": torch.from_numpy,
    "bytes": lambda X: X.astype(np.uint8),
    "not contiguous": lambda X: np.asfortranarray(X)[::1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input(small_digits, form):
    clf, X, _ = small_digits
    X = X[:3].copy()
    other = FORMS[form](X)
    for function in (attention_maps, attention_rollout):
        np.testing.assert_array_equal(function(clf, other), function(clf, X))


@pytest.mark.parametrize("name", ["layers", "heads", "queries"])
def test_numbers_out_of_range(make_classifier, images, name):
    clf = make_classifier("token")
    for value in (7, [0, -8], []):
        with pytest.raises(ValueError, match=f"`{name}`=.* must be one or more number"):
            attention_maps(clf, images, **{name: value})
    with pytest.raises(TypeError, match=f"`{name}` must be integers or None, got 0.5"):
        attention_maps(clf, images, **{name: 0.5})


def test_options_of_the_rollout_are_checked(make_classifier, images):
    clf = make_classifier("token")
    with pytest.raises(ValueError, match="`head_fusion`='sum' must be one of"):
        attention_rollout(clf, images, head_fusion="sum")
    with pytest.raises(ValueError, match=r"`head_fusion`=\['mean'\] must be one of"):
        attention_rollout(clf, images, head_fusion=["mean"])
    with pytest.raises(TypeError, match="`discard_ratio` must be a number, got 'most'"):
        attention_rollout(clf, images, discard_ratio="most")
    for ratio in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="`discard_ratio` is a fraction"):
            attention_rollout(clf, images, discard_ratio=ratio)
    with pytest.raises(ValueError, match="`queries`='all' must be 'pool'"):
        attention_rollout(clf, images, queries="all")
