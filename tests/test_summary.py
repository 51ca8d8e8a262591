import pickle
from dataclasses import replace

import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch.utils.flop_counter import FlopCounterMode

import skvit._training._runtime
from skvit import Architecture, ViTClassifier
from skvit._summary import count_flops, count_parameters
from skvit.nn import VisionTransformer, ViTConfig

CONFIG = ViTConfig((20, 24), (4, 6), 3, 5, 24, 2, 3)


@pytest.fixture(scope="module")
def clf(digits):
    X, y = digits
    return ViTClassifier(
        embed_dim=16, depth=1, num_heads=2, max_epochs=2, random_state=0
    ).fit(X[:60], y[:60])


@pytest.fixture
def fresh(clf):
    """A copy without a live network."""
    return pickle.loads(pickle.dumps(clf))


@pytest.fixture
def no_network(monkeypatch):
    """Fail when a network is built or a device is asked for."""

    def fail(*args, **kwargs):
        raise AssertionError("built or asked for")

    monkeypatch.setattr(skvit._training._runtime, "build_module", fail)
    monkeypatch.setattr(torch.nn.Module, "to", fail)
    for name in ("device_", "module_", "net_"):
        monkeypatch.setattr(ViTClassifier, name, property(fail))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"patch_embed": "linear", "activation": "swiglu"},
        {"patch_embed": "shifted", "pool": "mean"},
        {"patch_embed": "overlap", "pool": "seqpool"},
        {"patch_embed": "overlap", "stem_convs": 1, "num_register_tokens": 3},
        {"patch_embed": "sequence", "sequence_shape": (7, 11), "pool": "mean"},
        {"head_hidden": 9, "pool": "mean", "class_token": True},
        {"pos_embed": "rope", "pool": "map", "num_heads": 2},
        {"pos_embed": "sincos2d"},
    ],
)
def test_counts_are_those_of_the_network(change):
    config = replace(CONFIG, **change)
    network = VisionTransformer(config).eval()
    shape = config.sequence_shape or (3, 20, 24)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *shape))
    assert counter.get_total_flops() == pytest.approx(count_flops(config), rel=2e-3)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    expected = sum(parameter.numel() for parameter in network.parameters())
    assert count_parameters(config, weights) == expected


def test_summary_tells_the_facts(clf):
    lines = [line.split(maxsplit=1) for line in clf.summary().splitlines()]
    told = {name: rest for name, *rest in lines}
    assert lines[0] == ["ViTClassifier"]
    assert told["input"] == ["8 x 8 pixels, 1 channel"]
    assert told["patches"] == ["4 x 4 of 2 x 2 pixels"]
    assert told["tokens"] == ["16"]
    assert told["device"] == ["cpu"]
    assert told["precision"] == ["float32"]
    assert told["epochs"] == ["2"]
    assert told["time"][0].endswith(" s")


def test_summary_tells_what_auto_became(clf):
    resolved = clf.summary().partition('resolved from "auto"')[2]
    assert "patch_size       (2, 2)" in resolved
    assert "label_smoothing  0.1" in resolved
    assert "embed_dim" not in resolved


def test_every_setting_given_leaves_no_list_of_resolved_ones(clf):
    given = clf.recipe_
    fixed = pickle.loads(pickle.dumps(clf))
    names = set(fixed.get_params()) & set(vars(given))
    fixed.set_params(**{name: getattr(given, name) for name in names - {"augment"}})
    fixed.set_params(
        augment=None,
        architecture=Architecture(patch_embed="overlap", init="jax", whiten=True),
        recipe=skvit.Recipe(label_smoothing=0.0, averaging=None),
    )
    assert "resolved from" not in fixed.summary()


def test_summary_before_fit():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        ViTClassifier().summary()


@pytest.mark.usefixtures("no_network")
def test_representations_build_nothing(fresh):
    assert "auto, not in use yet" in fresh.summary()
    assert repr(fresh).startswith("ViTClassifier(")
    assert "ViTClassifier" in fresh._repr_html_()
    assert fresh._runtime.device is None


def test_html_lists_facts_and_attributes(clf):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    html = clf._repr_html_()
    for text in ("8 x 8 pixels, 1 channel", "FLOPs per image", "patch_size, auto"):
        assert text in html
    table = clf._get_fitted_attr_html()
    assert table["classes_"]["shape"] == (10,)
    assert repr(table["history_"]["value"]).startswith("2 x ")
    assert not {"device_", "module_", "net_", "recipe_"} & set(table)


def test_other_kinds_of_input(digits):
    X, y = digits
    params = {"embed_dim": 8, "depth": 1, "num_heads": 2, "max_epochs": 1}
    table = ViTClassifier(**params).fit(X[:40].reshape(40, -1)[:, :10], y[:40])
    assert "rows of 10 columns" in table.summary()
    patches = X[:40].reshape(40, 16, 4)
    sequence = ViTClassifier("precomputed", **params).fit(patches, y[:40])
    assert "16 patches of 4 values" in sequence.summary()
    assert "16 of 4 values" in sequence.summary()


def test_looking_on_while_training_goes_on(clf):
    draft = pickle.loads(pickle.dumps(clf))
    draft.history_ = None
    assert "epochs" not in draft.summary().partition("resolved")[0]
