from types import SimpleNamespace

import numpy as np
import pytest

from skvit import Architecture, Augment, Recipe, ViTClassifier
from skvit._images import ImageSpec
from skvit._recipe import resolve_recipe
from skvit._samples import Run
from skvit._settings import network_config, training_plan


@pytest.fixture
def resolved():
    """Function that resolves a classifier's settings for one kind of image."""

    def resolve(spec, n_samples=500, **settings):
        params = ViTClassifier(**settings).get_params(deep=False)
        params["architecture"] = params["architecture"] or Architecture()
        params["recipe"] = params["recipe"] or Recipe()
        return resolve_recipe(SimpleNamespace(**params), spec, n_samples)

    return resolve


def test_network_is_of_the_parameters(resolved):
    architecture = Architecture(
        qk_norm=True, num_register_tokens=2, patch_norm="after", head_hidden=7
    )
    spec = ImageSpec(12, 8, 3)
    recipe = resolved(
        spec,
        patch_size=(4, 2),
        embed_dim=24,
        depth=3,
        num_heads=6,
        pool="token",
        architecture=architecture,
    )
    config = network_config(recipe, architecture, spec, 5)
    assert (config.image_size, config.patch_size) == ((12, 8), (4, 2))
    assert (config.in_channels, config.num_outputs) == (3, 5)
    assert (config.embed_dim, config.depth, config.num_heads) == (24, 3, 6)
    assert (config.pool, config.qk_norm, config.head_hidden) == ("token", True, 7)
    assert config.num_register_tokens == 2
    assert (config.patch_norm_before, config.patch_norm_after) == (False, True)
    assert config.sequence_shape is None


def test_network_of_a_sequence(resolved):
    spec = ImageSpec(9, 20, 1, kind="sequence")
    recipe = resolved(spec, patch_size="precomputed")
    config = network_config(recipe, Architecture(), spec, 5)
    assert config.sequence_shape == (9, 20)
    assert config.patch_embed == "sequence"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_token", True),
        ("norm_after_pool", False),
        ("stem_width", 16),
        ("stem_convs", 1),
        ("pos_bias", "none"),
        ("pos_embed_token", False),
        ("qkv_bias", False),
        ("locality", True),
        ("activation", "swiglu"),
        ("norm_eps", 1e-5),
        ("layer_scale", 0.1),
        ("drop_rate", 0.1),
        ("attn_drop_rate", 0.2),
        ("patch_drop_rate", 0.3),
        ("head_activation", "relu"),
    ],
)
def test_each_switch_reaches_the_network(resolved, name, value):
    spec = ImageSpec(8, 8, 1)
    architecture = Architecture(**{name: value})
    recipe = resolved(spec, pool="mean", architecture=architecture)
    assert getattr(network_config(recipe, architecture, spec, 5), name) == value


def test_plan_of_a_fit(resolved):
    recipe = resolved(
        ImageSpec(8, 8, 1), max_epochs=10, batch_size=64, augment=Augment(mixup=0.2)
    )
    options = Recipe(warmup=0.1, final_rate=0.01, clip_norm=2.0)
    plan = training_plan(recipe, options, Run(), 130, 4, "float32", False)
    assert (plan.max_epochs, plan.batch_size, plan.n_classes) == (10, 64, 4)
    assert (plan.total_updates, plan.warmup) == (30, 3)
    assert (plan.final_rate, plan.clip_norm) == (0.01, 2.0)
    assert plan.augmentation.mixup == 0.2


def test_warm_up_is_rounded_up(resolved):
    recipe = resolved(ImageSpec(8, 8, 1), max_epochs=10, batch_size=64)
    options = Recipe(warmup=0.05)
    plan = training_plan(recipe, options, Run(), 130, 4, "float32", False)
    assert plan.warmup == 2  # of 1.5 updates


def test_plan_of_a_partial_fit(resolved):
    recipe = resolved(ImageSpec(8, 8, 1), max_epochs=100, batch_size=10)
    plan = training_plan(
        recipe, Recipe(), Run(partial=True), 10_000, 4, "float32", False
    )
    assert plan.max_epochs == 1
    assert plan.total_updates is None
    assert plan.averaging is None
    assert plan.warmup == 20


@pytest.mark.parametrize(
    ("rate", "run", "epochs"),
    [(0.0, Run(), None), (0.5, Run(), 7), (0.5, Run(partial=True), None)],
)
def test_patches_are_left_out_before_the_last_quarter_of_a_fit(
    resolved, rate, run, epochs
):
    architecture = Architecture(patch_drop_rate=rate)
    recipe = resolved(
        ImageSpec(8, 8, 1), max_epochs=10, batch_size=10, architecture=architecture
    )
    plan = training_plan(recipe, Recipe(), run, 100, 4, "float32", False)
    assert plan.dropping_epochs == epochs


def test_small_integers_do_not_overflow(make_tiny, few_digits):
    def make(number):
        return make_tiny(
            num_heads=number(2),
            embed_dim=number(16),
            depth=number(1),
            max_epochs=number(2),
            batch_size=number(40),
            architecture=Architecture(num_register_tokens=number(120)),
            augment=Augment(operations=number(1)),
        )

    X, y = (part[:80] for part in few_digits)
    plain, clf = make(int).fit(X, y), make(np.int8).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    assert repr(clf.recipe_) == repr(plain.recipe_)
    assert clf.summary().split("time")[0] == plain.summary().split("time")[0]
