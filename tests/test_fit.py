import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline
from skorch import NeuralNet

import skvit._fit
import skvit._training._runtime
from skvit import Architecture, Augment, PatchTransformer, Recipe
from skvit._images import ImageSpec
from skvit._recipe import ResolvedRecipe
from skvit._training import ViTNet, build_module
from skvit.nn import VisionTransformer

EXPLICIT = {
    "pos_embed": "learned",
    "augment": None,
    "precision": "float64",
    "recipe": Recipe(label_smoothing=0.1),
}


@pytest.fixture
def interrupt_at(monkeypatch):
    """Function that presses Ctrl-C in the update of the given number."""

    def press(update):
        step, counted = ViTNet.train_step, []

        def interrupted(net, batch, **kwargs):
            counted.append(batch)
            if len(counted) == update:
                raise KeyboardInterrupt
            return step(net, batch, **kwargs)

        monkeypatch.setattr(ViTNet, "train_step", interrupted)

    return press


# precomputed patches


@pytest.mark.parametrize("patch_size", [1, 2, 4, (4, 2), 8])
@pytest.mark.parametrize("pool", ["mean", "token", "map"])
def test_patches_cut_before_or_inside(make_tiny, few_digits, patch_size, pool):
    X, y = few_digits
    architecture = Architecture(
        patch_embed="linear", patch_norm="both", pos_bias="none"
    )
    settings = EXPLICIT | {"architecture": architecture, "pool": pool}
    inside = make_tiny(patch_size=patch_size, **settings)
    before = make_pipeline(
        PatchTransformer(patch_size, flatten=False),
        make_tiny(patch_size="precomputed", **settings),
    )
    np.testing.assert_allclose(
        before.fit(X, y).predict_proba(X),
        inside.fit(X, y).predict_proba(X),
        rtol=0,
        atol=1e-6,
    )


def test_convolution_is_the_linear_embedding(make_tiny, few_digits):
    X, y = few_digits
    linear, convolution = (
        make_tiny(architecture=Architecture(patch_embed=form), **EXPLICIT)
        .fit(X, y)
        .predict_proba(X)
        for form in ("linear", "conv")
    )
    np.testing.assert_allclose(convolution, linear, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pos_embed": "sincos2d"}, "`pos_embed`='sincos2d' needs rows and columns"),
        ({"pos_embed": "rope"}, "`pos_embed`='rope' needs rows and columns"),
        ({"augment": "light"}, "`augment`='light' varies images, but X is a sequence"),
        (
            {"augment": Augment(shift=0.1)},
            r"`augment`=Augment\(shift=0.1\) varies images",
        ),
        (
            {"architecture": Architecture(patch_embed="conv")},
            "`patch_embed`='conv' needs images",
        ),
        (
            {"architecture": Architecture(patch_embed="shifted")},
            "`patch_embed`='shifted' needs images",
        ),
    ],
)
def test_what_a_sequence_cannot_have(make_tiny, few_digits, settings, message):
    X, y = few_digits
    patches = PatchTransformer(4, flatten=False).fit_transform(X)
    with pytest.raises(ValueError, match=message):
        make_tiny(patch_size="precomputed", **settings).fit(patches, y)


def test_precomputed_wants_sequences(make_tiny, few_digits):
    X, y = few_digits
    message = r"expects patches of shape .* got X of shape \(120, 64\)"
    with pytest.raises(ValueError, match=message):
        make_tiny(patch_size="precomputed").fit(X.reshape(120, 64), y)


# what is remembered


def test_fitted_attributes(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(max_epochs=3).fit(X, y)
    assert clf.classes_.tolist() == list(range(10))
    assert clf.n_features_in_ == 64
    assert not hasattr(clf, "feature_names_in_")
    assert clf.image_shape_ == (8, 8, 1)
    assert clf.image_spec_ == ImageSpec(8, 8, 1)
    assert clf.n_epochs_ == len(clf.history_) == 3
    assert isinstance(clf.history_, pd.DataFrame)
    assert clf.history_["train_loss"].tolist() == clf.loss_curve_
    assert (clf.history_["images_per_second"] > 0).all()
    assert isinstance(clf.recipe_, ResolvedRecipe)
    assert clf.recipe_.max_epochs == 3
    assert isinstance(clf.module_, VisionTransformer)
    assert not clf.module_.training
    assert isinstance(clf.net_, NeuralNet)
    assert vars(clf).keys().isdisjoint({"module_", "net_", "device_"})


def test_loss_falls(make_tiny, few_digits):
    adamw = {"optimizer": "adamw", "learning_rate": 1e-2}
    clf = make_tiny(max_epochs=10, augment=None, **adamw).fit(*few_digits)
    assert clf.loss_curve_[-1] < 0.9 * clf.loss_curve_[0]


def test_module_computes_what_predict_proba_says(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(precision="float64").fit(X, y)
    images = torch.tensor((X - clf.channel_mean_) / clf.channel_std_)[:, None]
    with torch.no_grad():
        expected = torch.softmax(clf.module_(images), dim=1).numpy()
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-9)


def test_net_is_a_skorch_net(make_tiny, few_digits):
    X, y = few_digits
    clf = make_tiny(precision="float64").fit(X, y, X_val=X, y_val=y)
    net = clf.net_
    np.testing.assert_allclose(net.predict_proba(X), clf.predict_proba(X), rtol=1e-9)
    assert net.history[:, "train_loss"] == clf.loss_curve_
    assert net.history[:, "valid_score"] == clf.validation_scores_
    assert net.module_ is clf.module_


@pytest.mark.parametrize(
    "change",
    [
        lambda clf, X, y: clf.net_.fit(X, y.copy()),
        lambda clf, X, y: clf.module_.train(),
        lambda clf, X, y: clf.module_.double(),
        lambda clf, X, y: setattr(clf.module_, "head", torch.nn.Identity()),
    ],
)
def test_what_becomes_of_the_module_leaves_predictions_alone(
    make_tiny, few_digits, change
):
    X, y = few_digits
    clf = make_tiny(architecture=Architecture(drop_rate=0.5)).fit(X, y)
    expected, stored = clf.predict_proba(X), pickle.dumps(clf)
    change(clf, X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    assert pickle.dumps(clf) == stored
    again = clf.fit(X, y).module_
    assert not again.training
    assert next(again.parameters()).dtype == torch.float32
    assert type(again.head) is not torch.nn.Identity


def test_the_module_is_built_when_first_asked_for_and_kept(
    make_tiny, few_digits, monkeypatch
):
    clf, built = make_tiny().fit(*few_digits), []

    def build(*arguments):
        built.append(build_module(*arguments))
        return built[-1]

    monkeypatch.setattr(skvit._training._runtime, "build_module", build)
    clf.predict(few_digits[0])
    assert built == []
    assert clf.module_ is clf.module_ is clf.net_.module_
    assert built == [clf.module_]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_networks_learn_in_every_mode_of_the_caller(make_tiny, few_digits, mode):
    X, y = few_digits
    expected = make_tiny().fit(X, y).partial_fit(X, y).predict_proba(X)
    with mode():
        clf = make_tiny().fit(X, y).partial_fit(X, y)
        found = clf.predict_proba(X)
    np.testing.assert_array_equal(found, expected)


def test_averaged_weights_are_the_ones_kept(make_tiny, few_digits):
    X, y = few_digits
    settings = {"max_epochs": 20, "batch_size": 12}
    averaged = make_tiny(recipe=Recipe(averaging=0.9), **settings).fit(X, y)
    last = make_tiny(recipe=Recipe(averaging=None), **settings).fit(X, y)
    assert averaged.loss_curve_ == last.loss_curve_
    assert not np.array_equal(averaged.predict_proba(X), last.predict_proba(X))


# the end of training


def test_interrupted_training_keeps_the_model(make_tiny, few_digits, interrupt_at):
    X, y = few_digits
    interrupt_at(6)
    clf = make_tiny(max_epochs=9, batch_size=60)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(X, y)
    assert clf.n_epochs_ == len(clf.history_) == 2
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1)


def test_interrupted_first_epoch(make_tiny, few_digits, interrupt_at):
    X, y = few_digits
    interrupt_at(1)
    clf = make_tiny(early_stopping=True)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(X, y % 2)
    assert clf.n_epochs_ == 0
    assert clf.loss_curve_ == []
    assert clf.validation_scores_ in (None, [])
    assert clf.best_validation_score_ is None
    assert clf.predict(X).shape == (120,)
    assert "  epochs           0\n" in clf.summary()
    assert "ViTClassifier" in clf._repr_html_()


def test_training_goes_on_after_an_interruption(
    make_tiny, few_digits, interrupt_at, monkeypatch
):
    X, y = few_digits
    interrupt_at(2)
    clf = make_tiny(warm_start=True, batch_size=60)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(X, y)
    monkeypatch.undo()
    assert clf.fit(X, y).n_epochs_ == 2
    types = clf.history_.dtypes
    assert types.tolist() == [np.int64, *[np.float64] * 4]
    interrupt_at(1)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        clf.fit(X, y)
    assert clf.n_epochs_ == len(clf.history_) == 2
    pd.testing.assert_series_equal(clf.history_.dtypes, types)


def test_other_errors_pass_through(make_tiny, few_digits, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(ViTNet, "train_step", fail)
    with pytest.raises(OSError, match="the disk is full"):
        make_tiny(verbose=1).fit(*few_digits)


def test_loss_that_is_not_a_number(make_tiny, few_digits):
    clf = make_tiny(max_epochs=5, learning_rate=1e30)
    message = (
        r"Training diverged: the loss became nan in epoch \d. Use a smaller "
        r"`learning_rate` than 1e\+30"
    )
    with pytest.raises(ValueError, match=message):
        clf.fit(*few_digits)


def test_outputs_are_tried_on_images_from_all_over_the_data(
    make_tiny, digits, monkeypatch
):
    X, y = (part[:200] for part in digits)
    order = np.argsort(y, kind="stable")
    asked = []
    monkeypatch.setattr(skvit._fit, "check_collapse", lambda *args: asked.append(args))
    make_tiny(max_epochs=1).fit(X[order], y[order])
    ((predicted, target, _),) = asked
    assert len(predicted) == len(target) < 200
    assert set(target) == set(range(10))


def test_verbose_shows_progress(make_tiny, few_digits, capfd):
    X, y = few_digits
    make_tiny(verbose=1, max_epochs=3).fit(X, y, X_val=X, y_val=y)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert re.search(r"3/3 .*loss=\d\.\d+, valid_score=0\.\d+, images/s=\d+", shown.err)


def test_not_verbose_shows_nothing(make_tiny, few_digits, capfd):
    X, y = few_digits
    make_tiny(verbose=0).fit(X, y, X_val=X, y_val=y).partial_fit(X, y)
    assert capfd.readouterr() == ("", "")


# whitening


@pytest.mark.parametrize("weight", [np.ones(120), np.linspace(0.1, 3, 120)])
def test_the_stem_starts_from_the_training_images(make_tiny, few_digits, weight):
    X, y = few_digits
    drawn, whitened = (
        make_tiny(
            architecture=Architecture(patch_embed="overlap", whiten=whiten),
            learning_rate=1e-12,
            augment=None,
        ).fit(X, y, sample_weight=weight)
        for whiten in (False, "auto")
    )
    assert (drawn.recipe_.whiten, whitened.recipe_.whiten) == (False, True)
    name = "patch_embed.stages.0.weight"
    before, after = (clf.module_.get_parameter(name) for clf in (drawn, whitened))
    axes = after.detach().flatten(1).double()[:9]
    images = (X - whitened.channel_mean_) / whitened.channel_std_
    images = torch.from_numpy(images).double()[:, None]
    windows = torch.nn.functional.unfold(images, 3, padding=1).transpose(1, 2)
    outputs = windows @ axes.T
    products = torch.einsum("n,npi,npj->ij", torch.from_numpy(weight), outputs, outputs)
    products /= 64 * weight.sum()
    assert (products - products.diag().diag()).abs().max() < 1e-4
    assert not torch.equal(before, after)


def test_whitening_needs_a_stem(make_tiny, few_digits):
    clf = make_tiny(architecture=Architecture(patch_embed="linear", whiten=True))
    with pytest.raises(ValueError, match=r"`whiten`=True needs the convolutional stem"):
        clf.fit(*few_digits)
