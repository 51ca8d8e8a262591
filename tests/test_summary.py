import pickle
import re
from ast import literal_eval
from dataclasses import replace
from html import unescape

import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
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
def live(fresh, digits):
    """A copy whose network is at work."""
    fresh.predict(digits[0][:1])
    return fresh


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
        architecture=Architecture(
            patch_embed="overlap",
            pos_bias="gaussian",
            patch_drop_rate=0.0,
            init="jax",
            stem_width=9,
            whiten=True,
        ),
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


def test_representations_leave_a_live_network_where_it_is(live, no_network):
    runtime, module = live._runtime, live._runtime._module
    places = [parameter.data_ptr() for parameter in module.parameters()]
    assert "  device           cpu" in live.summary()
    assert "ViTClassifier" in live._repr_html_()
    assert repr(live).startswith("ViTClassifier(")
    assert live._runtime is runtime
    assert runtime._module is module
    assert [parameter.data_ptr() for parameter in module.parameters()] == places


def told_as_text(summary):
    """Values by name, those of resolved settings with ", auto" after the name."""
    facts, _, settings = summary.partition('resolved from "auto"\n')
    told = {}
    for part, mark in ((facts.partition("\n")[2], ""), (settings, ", auto")):
        told |= {f"{line[2:18].strip()}{mark}": line[19:] for line in part.splitlines()}
    return told


def told_as_html(html):
    """Values by name of scikit-learn's table of fitted attributes."""
    cells = re.findall(
        r'param-doc-link[^>]*>([^<]+)</a></td>\s*<td class="fitted-att-type">[^<]*</td>'
        r"\s*<td>([^<]*)</td>",
        html.partition("Fitted attributes")[2],
    )
    return {unescape(name): unescape(value) for name, value in cells}


def as_value(text):
    """Numbers, pairs and options as they are: 2.0 is 2; words as words."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def test_html_tells_what_the_summary_tells(clf, digits):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    X, y = digits
    varied = ViTClassifier(embed_dim=16, depth=1, num_heads=2, max_epochs=1)
    for model in (clf, varied.fit(X[:120], y[:120])):
        text, html = told_as_text(model.summary()), told_as_html(model._repr_html_())
        assert len(text) > 20
        assert {"input", "FLOPs per image", "time", "optimizer, auto"} <= set(text)
        shown = {name: as_value(html[name]) for name in text}
        assert shown == {name: as_value(value) for name, value in text.items()}


def test_html_of_a_pipeline_tells_the_facts(clf):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    html = make_pipeline(FunctionTransformer(), clf)._repr_html_()
    assert html.count("8 x 8 pixels, 1 channel") == 1


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
