from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from skvit import Architecture, Augment, Recipe
from skvit._images import ImageSpec
from skvit._recipe import (
    averaging_start,
    dropping_epochs,
    recipe_of_a_pass,
    resolve_recipe,
    step_value,
)
from skvit._settings import network_config
from skvit.nn import VisionTransformer

GRAY = ImageSpec(8, 8, 1)
PHOTO = ImageSpec(32, 32, 3)
WIDE = ImageSpec(64, 48, 1)
TABLE = ImageSpec(1, 30, 1, kind="table")
SEQUENCE = ImageSpec(16, 4, 1, kind="sequence")
SPECS = [GRAY, PHOTO, TABLE, SEQUENCE]
SETTINGS = {
    "patch_size": (2, 1),
    "embed_dim": 40,
    "depth": 3,
    "num_heads": 5,
    "mlp_ratio": 3.5,
    "pos_embed": "sincos",
    "pool": "token",
    "drop_path_rate": 0.2,
    "max_epochs": 7,
    "batch_size": 9,
    "optimizer": "sgd",
    "learning_rate": 0.3,
    "weight_decay": 0.01,
}
OPTIONS = {
    "architecture": {"patch_embed": "conv", "init": "jax", "whiten": False}
    | {"stem_width": 5, "pos_bias": "none", "patch_drop_rate": 0.3},
    "recipe": {"label_smoothing": 0.3, "averaging": 0.9},
}
AT_576_VALUES, BELOW = ImageSpec(24, 24, 1), ImageSpec(23, 25, 1)
# What a setting becomes for a number of samples of a kind, as the docstrings of
# ViTClassifier, Architecture and Recipe say it.
DOCUMENTED = [
    ("embed_dim", AT_576_VALUES, 1_500, 128),
    ("embed_dim", BELOW, 1_500, 64),
    ("embed_dim", TABLE, 1_500, 64),
    ("embed_dim", SEQUENCE, 1_500, 64),
    ("embed_dim", PHOTO, 39_999, 128),
    ("embed_dim", PHOTO, 40_000, 192),
    ("embed_dim", GRAY, 40_000, 96),
    ("depth", AT_576_VALUES, 1_500, 4),
    ("depth", BELOW, 1_500, 2),
    ("depth", ImageSpec(1, 576, 1, kind="table"), 1_500, 4),
    ("depth", PHOTO, 39_999, 4),
    ("depth", PHOTO, 40_000, 6),
    ("depth", GRAY, 40_000, 4),
    ("mlp_ratio", GRAY, 1_500, 2),
    ("pos_embed", GRAY, 1_500, "learned"),
    ("pool", PHOTO, 1_500, "seqpool"),
    ("pool", SEQUENCE, 1_500, "mean"),
    ("pool", TABLE, 1_500, "mean"),
    ("drop_path_rate", GRAY, 1_500, 0),
    ("batch_size", PHOTO, 1_500, 64),
    ("batch_size", PHOTO, 100_000, 256),
    ("weight_decay", GRAY, 1_500, 0.05),
    ("augment", GRAY, 99, None),
    ("augment", PHOTO, 99, None),
    ("augment", TABLE, 1_500, None),
    ("augment", SEQUENCE, 1_500, None),
    ("patch_embed", GRAY, 1_500, "overlap"),
    ("patch_embed", TABLE, 1_500, "linear"),
    ("stem_width", PHOTO, 1_500, 32),
    ("stem_width", AT_576_VALUES, 1_500, 32),
    ("stem_width", BELOW, 1_500, 64),
    ("stem_width", ImageSpec(160, 200, 3), 1_500, 16),
    ("init", AT_576_VALUES, 1_500, "trunc_normal"),
    ("init", BELOW, 1_500, "jax"),
    ("label_smoothing", PHOTO, 1_500, 0.1),
    ("label_smoothing", SEQUENCE, 1_500, 0),
    ("label_smoothing", TABLE, 1_500, 0),
    ("averaging", PHOTO, 10_000, 0.998),
    ("averaging", PHOTO, 200, None),
]


def resolve(
    spec=GRAY, n=1500, architecture=None, recipe=None, accelerated=False, **given
):
    params = dict.fromkeys([*SETTINGS, "augment"], "auto") | given
    if spec.kind == "sequence":
        params["patch_size"] = "precomputed"
    params["architecture"] = Architecture(**architecture or {})
    params["recipe"] = Recipe(**recipe or {})
    return resolve_recipe(SimpleNamespace(**params), spec, n, accelerated)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("n", [1, 150, 5_000, 200_000])
def test_no_auto_is_left(spec, n):
    assert "auto" not in asdict(resolve(spec, n)).values()


@pytest.mark.parametrize(("name", "spec", "n", "value"), DOCUMENTED)
def test_auto_is_what_the_docstring_says(name, spec, n, value):
    assert getattr(resolve(spec, n), name) == value


@pytest.mark.parametrize("spec", SPECS)
def test_below_100_images_their_number_changes_nothing(spec):
    first = resolve(spec, 1)
    assert all(resolve(spec, n) == first for n in range(2, 100))


@pytest.mark.parametrize("spec", [GRAY, TABLE])
def test_rules_are_steps(spec):
    """Between the few numbers of images where a rule steps, nothing changes."""
    sizes = np.unique(np.geomspace(1, 300_000, 3000).astype(int))
    settings = []
    for n in sizes:
        values = asdict(resolve(spec, int(n)))
        del values["averaging"]  # by the number of updates, tested below
        if not settings or values != settings[-1]:
            settings.append(values)
    assert len(settings) <= 9
    batch_sizes = [values["batch_size"] for values in settings]
    assert min(batch_sizes) >= 64
    assert batch_sizes == sorted(batch_sizes)
    widths = [values["embed_dim"] for values in settings]
    assert widths == sorted(widths)


def test_value_of_a_step_holds_from_its_start():
    steps = ((0, "a"), (10, "b"), (20, "c"))
    assert [step_value(steps, n) for n in (0, 9, 10, 19, 20, 99)] == list("aabbcc")


@pytest.mark.parametrize(("name", "value"), SETTINGS.items())
def test_explicit_settings_win(name, value):
    assert getattr(resolve(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [(group, *item) for group, given in OPTIONS.items() for item in given.items()],
)
def test_explicit_options_win(group, name, value):
    assert getattr(resolve(**{group: {name: value}}), name) == value


@pytest.mark.parametrize("spec", SPECS)
def test_all_that_is_explicit_stays_whatever_the_data(spec):
    sequence = spec.kind == "sequence"
    given = SETTINGS | OPTIONS | {"augment": None}
    given["architecture"] = {"patch_embed": "linear", "init": "jax", "whiten": False}
    given["architecture"] |= {"patch_drop_rate": 0.3}
    one, other = resolve(spec, 10, **given), resolve(spec, 10**6, **given)
    assert one == other
    assert one.patch_embed == ("sequence" if sequence else "linear")


def test_the_default_trains_tables_as_tables():
    recipe = resolve(TABLE, 5000)
    assert recipe.augment is None
    assert recipe.label_smoothing == 0
    assert recipe.patch_embed == "linear"
    assert recipe.pool == "mean"
    assert recipe.patch_size == (1, 2)


@pytest.mark.parametrize(
    ("side", "patch"), [(4, 1), (8, 2), (28, 4), (32, 4), (64, 8), (96, 8), (224, 16)]
)
def test_patches_make_a_grid_of_about_eight_by_eight(side, patch):
    recipe = resolve(ImageSpec(side, 2 * side, 3))
    assert recipe.patch_size == (patch, patch)
    assert 4 <= side / patch <= 14


@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 100, 1000])
def test_tables_have_at_most_16_patches(width):
    height, size = resolve(ImageSpec(1, width, 1, kind="table")).patch_size
    assert height == 1
    assert np.ceil(width / size) <= 16
    assert size == 1 or np.ceil(width / (size - 1)) > 16


def test_explicit_patch_of_a_table_is_one_pixel_high():
    assert resolve(TABLE, patch_size=5).patch_size == (1, 5)


@pytest.mark.parametrize("embed_dim", [1, 7, 48, 64, 65, 96, 128, 192])
def test_heads_of_tables_divide_the_width_into_about_32(embed_dim):
    heads = resolve(TABLE, embed_dim=embed_dim).num_heads
    distance = {
        n: abs(np.log(embed_dim / n / 32))
        for n in range(1, embed_dim + 1)
        if embed_dim % n == 0
    }
    assert distance[heads] == min(distance.values())


@pytest.mark.parametrize(
    ("embed_dim", "heads"),
    [(4, 1), (8, 1), (12, 1), (16, 2), (64, 8), (66, 6), (128, 8), (192, 8), (512, 16)],
)
def test_images_have_eight_heads_if_their_width_allows_it(embed_dim, heads):
    assert resolve(PHOTO, embed_dim=embed_dim).num_heads == heads


@pytest.mark.parametrize("spec", [PHOTO, TABLE])
def test_rotary_positions_get_heads_that_they_can_turn(spec):
    for embed_dim in range(4, 260, 4):
        heads = resolve(spec, embed_dim=embed_dim, pos_embed="rope").num_heads
        assert embed_dim // heads % 4 == 0


@pytest.mark.parametrize("spec", [GRAY, PHOTO, SEQUENCE, TABLE])
def test_only_heads_of_images_look_at_neighbours_first(spec):
    is_image = spec in (GRAY, PHOTO)
    assert resolve(spec).pos_bias == ("gaussian" if is_image else "none")


@pytest.mark.parametrize("spec", [GRAY, PHOTO, SEQUENCE, TABLE])
def test_first_weights_are_larger_behind_the_stem_of_small_images(spec):
    assert resolve(spec).init == ("jax" if spec is GRAY else "trunc_normal")
    linear = {"patch_embed": "linear"}
    assert resolve(spec, architecture=linear).init == "trunc_normal"


def test_long_sequences_have_no_bias():
    """Its memory is the square of the number of patches."""
    for patch_size, pos_bias in ((2, "gaussian"), (1, "none"), ((2, 1), "none")):
        assert resolve(PHOTO, patch_size=patch_size).pos_bias == pos_bias


def test_rate_falls_with_the_width_and_fits_the_optimizer():
    narrow, wide = resolve(embed_dim=64), resolve(embed_dim=256)
    assert narrow.learning_rate == 4 * wide.learning_rate
    assert resolve(embed_dim=16).learning_rate == narrow.learning_rate
    adamw, sgd = (resolve(embed_dim=64, optimizer=name) for name in ("adamw", "sgd"))
    assert sgd.learning_rate > 10 * adamw.learning_rate


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adamw", 0.003), ("muon", 0.008), ("sgd", 0.075)]
)
def test_rates_are_those_of_the_docstring(optimizer, rate):
    assert resolve(optimizer=optimizer).learning_rate == pytest.approx(rate)
    here, there = (
        resolve(PHOTO, 40_000, accelerated=accelerated, optimizer=optimizer)
        for accelerated in (False, True)
    )
    assert there.learning_rate == pytest.approx(1.5 * here.learning_rate)


def test_muon_trains_images_and_their_patches_and_adamw_tables():
    assert resolve(GRAY).optimizer == resolve(SEQUENCE).optimizer == "muon"
    assert resolve(TABLE).optimizer == "adamw"


def test_updates_of_few_small_images_are_not_few():
    epochs = [resolve(GRAY, n).max_epochs for n in (99, 100, 299, 300)]
    assert epochs == [40, 160, 160, 80]
    assert resolve(TABLE, 100).max_epochs == 80


def test_small_images_and_tables_take_more_epochs():
    photo = resolve(PHOTO, 1_000)
    assert resolve(GRAY, 1_000).max_epochs > photo.max_epochs
    assert resolve(TABLE, 1_000).max_epochs > photo.max_epochs


@pytest.mark.parametrize("spec", [*SPECS, WIDE])
@pytest.mark.parametrize("n", [999, 1_000, 3_999, 4_000, 200_000])
def test_half_of_the_patches_of_many_photos_are_left_out(spec, n):
    drops = n >= {PHOTO: 1_000, WIDE: 4_000}.get(spec, np.inf)
    assert resolve(spec, n).patch_drop_rate == (0.5 if drops else 0)


def test_of_a_few_patches_none_is_left_out():
    assert resolve(PHOTO, 4_000, patch_size=(4, 8)).patch_drop_rate == 0.5
    assert resolve(PHOTO, 4_000, patch_size=8).patch_drop_rate == 0


def test_an_accelerator_has_time_for_all_patches_of_large_sets():
    assert resolve(PHOTO, 39_999, accelerated=True).patch_drop_rate == 0.5
    assert resolve(PHOTO, 40_000, accelerated=True).patch_drop_rate == 0


def test_a_single_pass_leaves_patches_out_only_if_asked_to():
    given = resolve(PHOTO, 4_000)
    assert recipe_of_a_pass(given, Architecture()).patch_drop_rate == 0
    half = recipe_of_a_pass(given, Architecture(patch_drop_rate=0.5))
    assert half.patch_drop_rate == 0.5


def test_a_quarter_of_the_epochs_or_one_shows_all_patches():
    assert [dropping_epochs(n) for n in (1, 2, 4, 30)] == [0, 1, 3, 22]


def test_photos_have_wider_networks_than_thumbnails():
    assert resolve(PHOTO).embed_dim > resolve(GRAY).embed_dim


@pytest.mark.parametrize(("epochs", "averaged"), [(4, False), (5, True), (50, True)])
def test_weights_are_averaged_over_500_updates_or_more(epochs, averaged):
    recipe = resolve(n=100 * 64, max_epochs=epochs, batch_size=64)
    assert (recipe.averaging is not None) == averaged
    assert averaging_start(1000) == 900


def test_averaging_can_be_left_out():
    assert resolve(n=10**5, recipe={"averaging": None}).averaging is None


def test_augmentation_by_name_and_by_object():
    assert resolve(augment=None).augment is None
    light, photo = resolve(augment="light").augment, resolve(augment="photo").augment
    assert set(light) == {"shift", "rotate", "scale", "erase"}
    assert set(photo) - set(light) == {"flip", "color", "operations"}
    assert all(0 < light[name] <= 0.1 for name in ("shift", "scale", "erase"))
    assert 0 < light["rotate"] < 10
    assert photo["flip"]
    assert resolve(augment="auto").augment == light
    assert resolve(PHOTO, augment="auto").augment == {"shift": 0.1}
    strengths = Augment(shift=0.2, mixup=0.5)
    assert resolve(augment=strengths).augment == strengths.get_params()
    assert resolve(n=99, augment="light").augment == light
    for preset in (light, photo):
        Augment(**preset).check()


@pytest.mark.parametrize("augment", ["light", "photo", Augment(flip=True)])
@pytest.mark.parametrize("spec", [TABLE, SEQUENCE])
def test_only_images_are_varied(augment, spec):
    size = f"X is a {spec.kind} of {spec.height} x {spec.width} values"
    with pytest.raises(ValueError, match=f"`augment`=.* varies images, but {size}"):
        resolve(spec, augment=augment)


@pytest.mark.parametrize("patch_embed", ["conv", "overlap", "shifted"])
def test_sequences_are_embedded_linearly(patch_embed):
    assert resolve(SEQUENCE).patch_embed == "sequence"
    with pytest.raises(ValueError, match=f"`patch_embed`='{patch_embed}' needs images"):
        resolve(SEQUENCE, architecture={"patch_embed": patch_embed})


def test_patch_larger_than_the_image_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"`patch_size`=9 is larger than .* 8 x 8 pix"):
        resolve(patch_size=9)


def test_recipe_shows_itself():
    recipe = resolve()
    frame = recipe.to_frame()
    assert frame.index.tolist() == list(asdict(recipe))
    assert frame.loc["batch_size", "value"] == recipe.batch_size
    for text in (repr(recipe), recipe._repr_html_()):
        assert all(name in text for name in asdict(recipe))


@pytest.mark.parametrize("kind", ["image", "table", "sequence"])
def test_auto_makes_a_network_for_any_size(kind):
    from skvit._settings import network_config

    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width, channels = (int(n) for n in rng.integers(1, (60, 60, 6)))
        if kind != "image":
            channels = 1
        spec = ImageSpec(1 if kind == "table" else height, width, channels, kind=kind)
        config = network_config(resolve(spec, 200), Architecture(), spec, 3)
        assert config.num_patches >= 1
        assert config.embed_dim % config.num_heads == 0


def test_small_images_come_in_larger_batches():
    assert [resolve(GRAY, n).batch_size for n in (999, 1_000)] == [64, 128]
    assert [resolve(PHOTO, n).batch_size for n in (14_999, 15_000)] == [64, 128]
    for spec in (GRAY, PHOTO):
        assert [resolve(spec, n).batch_size for n in (99_999, 100_000)] == [128, 256]


def test_large_sets_are_trained_for_longer_on_accelerators():
    for n in (39_999, 40_000):
        here, there = resolve(PHOTO, n), resolve(PHOTO, n, accelerated=True)
        assert (here == there) == (n < 40_000)
    assert (there.max_epochs, there.batch_size) == (50, 512)
    assert here.max_epochs == pytest.approx(20, abs=5)
    assert there.batch_size > here.batch_size
    assert there.learning_rate > here.learning_rate
    assert there.augment == resolve(PHOTO, augment="light").augment
    given = {"max_epochs": 3, "batch_size": 7, "learning_rate": 0.1, "augment": None}
    fixed = resolve(PHOTO, 50_000, accelerated=True, **given)
    assert {name: getattr(fixed, name) for name in given} == given
    assert resolve(SEQUENCE, 50_000) == resolve(SEQUENCE, 50_000, accelerated=True)


@pytest.mark.parametrize("side", [8, 16, 23, 24, 28, 32, 48, 64, 96, 128, 160, 224])
@pytest.mark.parametrize("channels", [1, 3, 13, 22, 64, 120])
def test_less_than_half_of_the_work_comes_before_attention(side, channels):
    spec = ImageSpec(side, side, channels)
    config = network_config(resolve(spec), Architecture(), spec, 10)
    with torch.device("meta"):
        network = VisionTransformer(config)
        # Of gray images and photographs also while half of the patches are left out.
        network.train(channels <= 3)
        image = torch.zeros(1, channels, side, side)
        work = []
        for call in (network.patch_embed, network.forward_features):
            with (
                FlopCounterMode(display=False) as counter,
                sdpa_kernel(SDPBackend.MATH),
            ):
                call(image)
            work.append(counter.get_total_flops())
    assert sum(isinstance(m, torch.nn.Conv2d) for m in network.modules()) == 2
    assert 0 < work[0] < 0.5 * work[1]


@pytest.mark.parametrize("n", [1_000, 3_999, 4_000, 14_999, 15_000, 50_000])
def test_images_of_48_pixels_take_more_epochs(n):
    narrow, wide = (resolve(ImageSpec(side, 96, 3), n) for side in (47, 48))
    assert wide.max_epochs > narrow.max_epochs
    assert wide.patch_size == (8, 8)
