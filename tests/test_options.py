import inspect
import pickle

import pytest
from sklearn.base import clone

from skvit import Architecture, Augment, ImageOptions, Recipe
from skvit._utils._sklearn import InvalidParameterError

# Of each option: values that are accepted and values that are refused.
CASES = {
    Architecture: {
        "patch_embed": (["auto", "linear", "conv", "overlap", "shifted"], ["con", 1]),
        "patch_norm": (["none", "before", "after", "both"], [None, "all"]),
        "stem_width": (["auto", 1, 32], [0, 2.5]),
        "stem_convs": ([1, 2], [0, 3]),
        "whiten": (["auto", True, False], ["yes", None]),
        "class_token": ([None, True, False], ["yes"]),
        "norm_after_pool": ([None, True, False], ["yes"]),
        "pos_bias": (["auto", "gaussian", "none"], ["relative", None]),
        "pos_embed_token": ([True, False], ["yes", None]),
        "num_register_tokens": ([0, 4], [-1, 1.0]),
        "qkv_bias": ([True, False], ["no"]),
        "qk_norm": ([True, False], ["no"]),
        "locality": ([True, False], ["no"]),
        "activation": (["gelu", "gelu_tanh", "swiglu"], ["relu"]),
        "norm_eps": ([1e-5], [0, -1e-6]),
        "layer_scale": ([None, 0.1], [0.0, "auto"]),
        "drop_rate": ([0, 0.99], [1.0, -0.1]),
        "attn_drop_rate": ([0, 0.99], [1.0, -0.1]),
        "patch_drop_rate": ([0, 0.99], [1.0, -0.1]),
        "head_hidden": ([None, 1], [0, 2.5]),
        "head_activation": (["gelu", "relu", "tanh"], ["swiglu"]),
        "init": (["auto", "trunc_normal", "jax", "mimetic"], ["zeros"]),
    },
    Recipe: {
        "warmup": ([0, 0.5], [1.0, -0.1]),
        "final_rate": ([0, 1], [1.1, -0.1]),
        "clip_norm": ([None, 0.5], [0, "auto"]),
        "label_smoothing": (["auto", 0, 0.2], [1.0, None]),
        "averaging": (["auto", None, 0.99], [1.0, "ema"]),
        "test_views": ([1, 5, 9], [2, "auto"]),
    },
    Augment: {
        "shift": ([0, 0.99], [1, -0.1]),
        "rotate": ([0, 180], [181, -1]),
        "scale": ([0, 0.99], [1, -0.1]),
        "flip": ([True, False], [0.5, "half"]),
        "color": ([0, 0.99], [1, -0.1]),
        "operations": ([0, 3], [-1, 1.5]),
        "erase": ([0, 1], [1.1, -0.1]),
        "mixup": ([0, 5.0], [-0.1, None]),
        "cutmix": ([0, 5.0], [-0.1, None]),
    },
    ImageOptions: {
        "normalize": ([True, False], ["yes", None]),
        "resize": ([None, 32, (8, 16), [8, 16]], [0, 2.5, "auto"]),
        "aspect": (["pad", "stretch"], ["crop", None]),
        "color": (["auto", "gray", "rgb", "rgba"], ["bgr", None]),
        "on_error": (["raise", "skip"], ["ignore", None]),
        "cache": ([0, 2**20, "."], [-1, 0.5, None]),
        "n_threads": ([None, 1, 8], [0, -1, "all"]),
    },
}
each_kind = pytest.mark.parametrize("kind", CASES)


def flat(which):
    return [
        (kind, name, value)
        for kind, options in CASES.items()
        for name, values in options.items()
        for value in values[which]
    ]


@each_kind
def test_every_option_is_tried_here_and_constrained(kind):
    names = set(inspect.signature(kind).parameters)
    assert names == set(CASES[kind]) == set(kind._parameter_constraints)
    assert names == set(kind().get_params())


@each_kind
def test_defaults_are_valid(kind):
    options = kind()
    assert options.check() is options


@pytest.mark.parametrize(("kind", "name", "value"), flat(0))
def test_valid_values_are_kept_as_given(kind, name, value):
    assert getattr(kind(**{name: value}).check(), name) is value


@pytest.mark.parametrize(("kind", "name", "value"), flat(1))
def test_invalid_values_are_named_when_checked(kind, name, value):
    options = kind(**{name: value})
    message = f"The '{name}' parameter of {kind.__name__} must be .* Got {value!r} inst"
    with pytest.raises(InvalidParameterError, match=message):
        options.check()


@pytest.mark.parametrize(("kind", "name", "value"), flat(0))
def test_parameters_are_set_cloned_and_pickled(kind, name, value):
    options = kind().set_params(**{name: value})
    for copied in (clone(options), pickle.loads(pickle.dumps(options))):
        assert copied is not options
        assert copied.get_params() == kind(**{name: value}).get_params()


@each_kind
def test_options_are_keyword_only(kind):
    with pytest.raises(TypeError, match="positional argument"):
        kind(True)


def test_unknown_option_is_refused():
    with pytest.raises(ValueError, match="Invalid parameter 'mixup' for estimator Rec"):
        Recipe().set_params(mixup=0.2)


@pytest.mark.parametrize(
    ("resize", "size"), [(None, None), (32, (32, 32)), ([8, 16], (8, 16))]
)
def test_reading_gets_plain_values(resize, size):
    options = ImageOptions(resize=resize, aspect="stretch", color="gray").reading()
    assert (options.size, options.aspect, options.color) == (size, "stretch", "gray")


@pytest.mark.parametrize(
    ("resize", "error"),
    [((8, 0), ValueError), ((8, 8, 3), ValueError), ((8.5, 8), TypeError)],
)
def test_sizes_are_refused_when_they_are_none(resize, error):
    options = ImageOptions(resize=resize).check()
    with pytest.raises(error, match="`resize` must be a positive integer or"):
        options.reading()


def test_only_fit_may_skip():
    options = ImageOptions(on_error="skip")
    assert options.reading(may_skip=True).skip
    assert not options.reading().skip
    assert not ImageOptions().reading(may_skip=True).skip


def test_representation_shows_what_was_changed():
    assert repr(Augment(shift=0.1, flip=False)) == "Augment(shift=0.1)"
