"""The benchmarks of speed and memory: their functions that need no peers."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "docs" / "benchmarks"
SECTIONS = {
    "speed": {"setting", "training", "machine", "prediction"},
    "memory": {"setting", "memory"},
    "growth": {"setting", "growth", "crossover"},
    "startup": {"setting", "startup"},
    "grid": {"setting", "grid"},
    "accelerator": {"setting", "training"},
}


pytestmark = pytest.mark.filterwarnings("ignore::skvit.exceptions.TrainingWarning")


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    """Let scripts and tests import what lies beside the scripts."""
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture
def tiny():
    """A configuration that takes no time."""
    from _contest import Size

    return Size(8, 1, 4, 8, 1, 2, batch=8, n_batches=2, rounds=1)


@pytest.mark.parametrize("name", SECTIONS)
def test_pages_have_a_place_for_every_section(name):
    page = (BENCHMARKS / f"{name}.rst").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.\. begin: (\w+)$", page, re.MULTILINE)) == SECTIONS[name]
    assert f"python {name}.py --page {name}.rst" in page


def test_verdicts():
    from _targets import Target

    more, less = Target(1.7, 2.5), Target(0.15, 0.0)
    assert [more.verdict(x) for x in (1.6, 1.7, 2.6)] == ["missed", "must", "aim"]
    assert [less.verdict(x) for x in (0.2, 0.1, 0.0)] == ["missed", "must", "aim"]
    assert more.cell(1.756) == "1.76x must"
    assert less.cell(0.04, "%") == "4% must"


def test_ratios_are_of_the_same_round():
    from _turns import ratio, run_alternating

    times = iter([9.0, 9.0, 2.0, 1.0, 6.0, 2.0, 30.0, 10.0])
    calls = dict.fromkeys(("slow", "fast"), lambda: next(times))
    seconds = run_alternating(calls, 3)
    assert seconds == {"slow": [2.0, 6.0, 30.0], "fast": [1.0, 2.0, 10.0]}
    assert ratio(seconds["slow"], seconds["fast"]) == 3.0


def test_a_missing_peer_is_named():
    from _peers import require

    with pytest.raises(SystemExit, match="compares with no_such_peer, which cannot be"):
        require("no_such_peer")


def test_trainings_are_of_the_same_network(tiny):
    from _contest import draw_images, make_classifier, to_float, train_bare, train_ours

    X, y = draw_images(tiny)
    assert X.shape == (16, 8, 8, 1)
    assert X.dtype == np.uint8
    assert to_float(X).shape == (16, 1, 8, 8)
    config = make_classifier(tiny).fit(X, y)._config
    # patches, class token and positions, one block, last norm, head
    shapes = 16 * 8 + 8, 8, 5 * 8, 12 * 64 + 13 * 8, 16, 8 * 10 + 10
    module = make_classifier(tiny).fit(X, y).module_
    assert sum(p.numel() for p in module.parameters()) == sum(shapes)
    assert (config.embed_dim, config.depth, config.num_heads) == (8, 1, 2)
    for call in (train_ours(tiny, X, y), train_bare(tiny, X, y)):
        assert call() > 0


def test_products_and_operations(tiny, monkeypatch):
    import speed
    from speed import make_products, products_flops, training_flops

    from skvit.nn import VisionTransformer, ViTConfig

    module = VisionTransformer(ViTConfig((8, 8), (4, 4), 1, 10, 8, 1, 2, pool="token"))
    assert products_flops(tiny) == 3 * 2 * 8 * 5 * 12 * 8 * 8
    monkeypatch.setattr(speed, "_PRODUCTS", 5 * products_flops(tiny))
    assert 0 < make_products(tiny, "float32")() < 60
    forward = 2 * 5 * 12 * 64 + 2 * 2 * 25 * 8 + 2 * 4 * 16 * 8
    assert training_flops(module, tiny) == 3 * forward


def test_ratios_are_told_by_the_contest_that_holds_both():
    from speed import ratios_of

    told = ratios_of(
        {"ours": [1.0], "ours float32": [2.0], "loop + timm float32": [4.0]}
    )
    assert told == {"loop + timm, float32": 4.0, "loop + timm, all float32": 2.0}


def test_contestants_are_called_in_processes_of_their_own(tiny):
    from functools import partial

    from _apart import apart
    from _contest import make_training

    makers = {name: partial(make_training, name, tiny) for name in ("ours", "bare")}
    with apart({"process": make_id} | makers) as calls:
        process, *seconds = (call() for call in calls.values())
        assert calls["process"]() == process
    assert process != os.getpid()
    assert min(seconds) > 0


def make_id():
    """Return a call that tells its process."""
    return os.getpid


@pytest.mark.parametrize("name", ["ours", "ours, one image", "bare, one image"])
def test_predictions_are_timed(tiny, name):
    from speed import make_prediction

    assert make_prediction(name, tiny)() > 0


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="anonymous pages are Linux's"
)
def test_a_peak_is_seen():
    from _anonymous import anonymous_bytes, peak_above

    def take():
        # one block, which the allocator asks the system for, whatever it has kept
        block = np.ones(2**26)  # 512 MiB
        return block.sum()

    assert peak_above(anonymous_bytes(), take) > 450 * 2**20


def test_lengths_are_numbers_of_patches():
    import growth

    for length in growth.LENGTHS:
        size = growth.with_length(length)
        assert (size.side // size.patch) ** 2 == length
        assert size.n_images * length <= max(growth.TOKENS_OF_EPOCH, 64 * length)


def test_growth_of_small_amounts(monkeypatch, tiny):
    import growth

    monkeypatch.setattr(growth, "BASE", replace(tiny, side=16))
    monkeypatch.setattr(growth, "run_apart", lambda _, length: length * 2**20)
    measured = list(growth.measure_growth((8, 16), (1, 2), (4, 16)))
    assert [(name, list(costs)) for name, _, costs in measured] == [
        ("images", [8, 16]),
        ("depth", [1, 2]),
        ("length", [4, 16]),
        ("length", [4, 16]),
    ]
    last = growth.growth_table(measured).splitlines()[-2]
    assert last.split()[-6:] == ["4:", "4,", "16:", "16", "1.00", "aim"]
    table = growth.crossover_table((4, 9), 1).splitlines()
    assert [line.split()[0] for line in table[3:-1]] == ["float32", "bfloat16"]


def test_children_answer_in_json(monkeypatch, capsys):
    import memory

    monkeypatch.setattr(memory, "measure_here", lambda who, n: [who, n])
    memory.main(["--child", "ours", "12"])
    assert json.loads(capsys.readouterr().out) == ["ours", 12]


def test_a_search_finds_its_best(monkeypatch):
    import grid

    monkeypatch.setattr(grid, "WORKERS", 1)
    X, floats, y = grid.load_images()
    assert X.dtype == np.uint8
    assert floats.shape == (1797, 1, 8, 8)
    clf = grid.make_classifier(grid.SIZE, max_epochs=1, warm_start=False)
    found = grid.search(clf, "", X[:200], y[:200], (2,), (1, 2), 2)
    assert set(found.best_params_) == {"patch_size", "depth"}
    row = grid.row("it", grid.SAME, [(2.0, 0.9), (4.0, 0.8)])
    assert row == ("it", "2", "4", "2.00x must", "0.900", "0.800")
