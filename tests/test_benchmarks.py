"""The benchmarks' functions, at sizes where all of them take seconds."""

import itertools
import pickle
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone

BENCHMARKS = Path(__file__).parent.parent / "docs" / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    """Let scripts and tests import what lies beside the scripts."""
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture
def colours():
    """Images of 16 x 16 pixels whose halves differ for one class and not the other."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    y = np.tile(["half", "whole"], 30)
    X[::2, :, :8] //= 4
    return X, y


def test_table_lines_up():
    from _common import rst_table

    assert rst_table(("a", "long"), [(1, 2.5), ("three", "")]).splitlines() == [
        "=====  ====",
        "a      long",
        "=====  ====",
        "1      2.5",
        "three",
        "=====  ====",
    ]


def test_page_keeps_its_prose(tmp_path):
    from _common import update_page

    page = tmp_path / "page.rst"
    page.write_text("before\n\n.. begin: x\nold\n.. end: x\n\nafter \\1\n")
    for _ in range(2):
        update_page(page, {"x": "new \\1"})
        expected = "before\n\n.. begin: x\n\nnew \\1\n\n.. end: x\n\nafter \\1\n"
        assert page.read_text() == expected
    with pytest.raises(ValueError, match=r"must hold the lines '.. begin: y'"):
        update_page(page, {"y": ""})


def test_timing_and_machine():
    from _common import describe_machine, median_seconds

    calls = []
    assert median_seconds(lambda: calls.append(1), repeats=3, warmup=2) >= 0
    assert len(calls) == 5
    assert torch.__version__ in describe_machine()


def test_both_forms_of_the_data(tmp_path):
    from _cifar10 import load_cifar10, split

    images = np.arange(12 * 3072).reshape(12, 32, 32, 3).astype(np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for i, name in enumerate(names):
        rows = images[2 * i : 2 * i + 2].transpose(0, 3, 1, 2).reshape(2, 3072)
        batch = {"data": rows, "labels": [i, i + 1]}
        (tmp_path / name).write_bytes(pickle.dumps(batch))
    labels = np.repeat(range(6), 2) + np.tile([0, 1], 6)
    np.savez(tmp_path / "data.npz", X=images, y=labels)
    for path in (tmp_path, tmp_path / "data.npz"):
        X, y = load_cifar10(path)
        assert np.array_equal(X, images)
        assert np.array_equal(y, labels)
    X_train, _, _, y_test = split(X, y, 3, 4)
    assert np.array_equal(X_train, images[:3])
    assert np.array_equal(y_test, labels[-4:])
    with pytest.raises(ValueError, match="10 training and 4 test images"):
        split(X, y, 10, 4)


def test_cats_and_dogs():
    import cats_and_dogs

    X = np.zeros((30, 32, 32, 3), dtype=np.uint8)
    X[::3], X[:, ::2, ::2] = 200, 100
    small, names = cats_and_dogs.keep_cats_and_dogs(X, np.tile([3, 5, 7], 10))
    assert small.shape == (20, 16, 16)
    assert small[0, 0, 0] == pytest.approx(175)
    assert names[:2].tolist() == ["cat", "dog"]
    clf = clone(cats_and_dogs.CLASSIFIERS["the example's network"])
    clf.set_params(max_epochs=1).fit(small, names)
    assert clf.module_.head.hidden[0].weight.shape == (4, 8)
    lines = cats_and_dogs.report("it", clf, small, names)
    assert lines[0].startswith("it: accuracy ")
    assert lines[1].startswith("  a cat: ")


def test_convolution_counts_as_by_hand():
    from _cost import count_cnn, count_vit, exponent

    # multiplications of the five layers at 16, 16, 8, 8 and 4 pixels a side, and the
    # last matrix
    inside = 3 * 32 * 256 + 32 * 32 * 256 + 32 * 64 * 64 + 64 * 64 * 64 + 64 * 128 * 16
    assert count_cnn(16) == 2 * (9 * inside + 128 * 10)
    between, others = count_vit(16)  # 17 tokens, 4 layers of width 64
    assert between == 4 * 2 * 2 * 17**2 * 64
    assert others == 4 * 2 * 17 * 64**2 * (4 + 2 * 2) + 2 * 16 * 48 * 64
    assert exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)


def test_reach_of_one_convolution():
    from _reach import describe_reach, gradient_map

    images = torch.ones((1, 1, 9, 9), requires_grad=True)
    convolution = torch.nn.Conv2d(1, 2, 3, padding=1)
    gradient = gradient_map(convolution(images), images)
    spans, share, far = describe_reach(gradient, (1, 1))
    assert (*spans, share, far) == (3, 3, 9 / 81, 0)
    everywhere = np.ones((32, 32))
    spans, share, far = describe_reach(everywhere, (4, 4))
    assert (*spans, share) == (32, 32, 1)
    assert far == pytest.approx(1 - 20 * 20 / 1024)  # the cell is pixels 16 to 19


def test_shuffled_patches_are_the_same_patches():
    from _reach import shuffle_patches

    X = np.arange(2 * 8 * 8 * 3).reshape(2, 8, 8, 3)
    shuffled = shuffle_patches(X, 4)
    assert not np.array_equal(shuffled, X)
    corners = [(i, j) for i in (0, 4) for j in (0, 4)]
    for images in zip(X, shuffled, strict=True):
        before, after = (
            sorted(image[i : i + 4, j : j + 4].tolist() for i, j in corners)
            for image in images
        )
        assert before == after


def test_networks_are_alike_in_size():
    from _networks import make_cnn, make_vit

    vit, cnn = (
        sum(weight.numel() for weight in make((32, 32, 3), 10).parameters())
        for make in (make_vit, make_cnn)
    )
    assert vit == pytest.approx(cnn, rel=0.02)


def test_both_networks_learn_in_the_time_given(colours, monkeypatch):
    import _learning

    ticks = itertools.count()  # a clock that passes a hundredth of a second per look
    clock = SimpleNamespace(process_time=lambda: next(ticks) / 100)
    monkeypatch.setattr(_learning, "time", clock)
    learners = _learning.learn_all(_learning.NETWORKS, *colours, seconds=1, seed=0)
    for learner in learners.values():
        assert learner.score(*colours) > 0.7
        assert learner.seconds >= 1


def test_every_section_of_the_page(colours):
    import vit_and_cnn

    X, y = colours
    data = X[:40], y[:40], X[40:], y[40:]
    sections = dict(vit_and_cnn.measure(data, (20, 40), 0.3, 1, (16, 32, 48), 1))
    page = (BENCHMARKS / "vit_and_cnn.rst").read_text(encoding="utf-8")
    assert all(f".. begin: {name}\n" in page for name in sections)
    assert page.count(".. begin: ") == len(sections)
    assert "ViT      1, layer        16 x 16  100%" in sections["reach"]
    assert "CNN      1, convolution  3 x 3" in sections["reach"]
    rows = [re.split("  +", line) for line in sections["shuffle"].splitlines()]
    changes = {row[0]: float(row[1]) for row in rows[3:-1]}
    without, *others = changes.values()
    assert without < 1e-10
    assert min(others) > 1e-8
    assert "2.00" in sections["cost"].splitlines()[-2]


SMALL = {"max_epochs": 1, "embed_dim": 8, "depth": 1, "num_heads": 2}


def test_faithfulness_of_every_map(colours):
    import faithfulness

    X, y = colours
    measured = faithfulness.learn((X[:40], y[:40]), (X[40:], y[40:]), 2, 3, SMALL)
    accuracies, areas = faithfulness.tables(*measured)
    assert len(accuracies.splitlines()) == len(faithfulness.NETWORKS) + 4
    rows = [re.split("  +", line) for line in areas.splitlines()[3:-1]]
    names = [*faithfulness.METHODS, "random order"]
    assert [row[1] for row in rows] == names * len(faithfulness.NETWORKS)
    for _, name, deletion, insertion, gain, spread, _ in rows:
        assert 0 <= float(deletion) <= 1
        assert float(gain) == pytest.approx(
            float(insertion) - float(deletion), abs=2e-3
        )
        assert float(spread) >= 0
        assert name != "random order" or abs(float(gain)) < 0.1


def test_places_of_the_faithfulness_page(monkeypatch):
    import faithfulness

    monkeypatch.setattr(faithfulness, "cost_table", lambda: "")
    monkeypatch.setattr(faithfulness, "learn", lambda *_: ({}, {}))
    monkeypatch.setattr(faithfulness, "photographs", lambda *_: faithfulness.digits())
    asked = faithfulness.parse(["--data", "somewhere"])
    names = [name for name, _ in faithfulness.sections(asked)]
    page = (BENCHMARKS / "faithfulness.rst").read_text(encoding="utf-8")
    assert all(f".. begin: {name}\n" in page for name in names)
    assert page.count(".. begin: ") == len(names)


def test_what_maps_cost(monkeypatch, colours):
    import inspection

    few = colours[0][:8], colours[1][:8]
    monkeypatch.setattr(inspection, "samples", lambda: {"colours": few})
    rows = [
        re.split("  +", line) for line in inspection.cost_table(1).splitlines()[3:-1]
    ]
    assert [row[0] for row in rows] == list(inspection.MAPS)
    assert all(float(row[1]) > 0 for row in rows)


@pytest.mark.filterwarnings("ignore::skvit.exceptions.TrainingWarning")
def test_reading(tmp_path, monkeypatch):
    import reading

    monkeypatch.setattr(reading, "EPOCHS", 2)
    files = reading.Files(20, 32, None), reading.Files(4, 256, (32, 32))
    sections = dict(reading.measure(tmp_path, files, rounds=1))
    page = (BENCHMARKS / "reading.rst").read_text(encoding="utf-8")
    for name, text in sections.items():
        assert f".. begin: {name}\n" in page
        assert "20 of 32 x 32" in text
        assert "4 of 256 x 256" in text


def test_finished_runs_are_not_repeated(tmp_path):
    from accuracy import Log, measure

    X, y = np.random.default_rng(0).random((60, 4, 4)), np.arange(60) % 2
    X[y == 1] += 3
    splits = [(0, (X[:40], X[40:], y[:40], y[40:]))]
    path = tmp_path / "log.jsonl"
    measure(splits, ["SVC"], Log(path))
    first = path.read_text()
    measure(splits, ["SVC", "LogisticRegression"], Log(path))
    runs = Log(path).runs
    assert path.read_text().startswith(first)
    assert [run["name"] for run in runs] == ["SVC", "LogisticRegression"]
    assert [run["accuracy"] for run in runs] == [1.0, 1.0]
    assert all(run["images"] == 40 and run["seconds"] > 0 for run in runs)


def test_tables_are_of_size_and_rows_of_estimator():
    from accuracy import to_sections

    def run(*values, seed=0, device="cpu"):
        names = "images", "name", "accuracy", "seconds"
        named = dict(zip(names, values, strict=True))
        where = {"machine": f"a {device}", "commit": "abc"}
        return named | where | {"seed": seed, "device": device}

    runs = [run(50, "ViTClassifier()", 0.9, 8.0), run(5, "SVC", 0.7, 1.0)]
    runs += [run(5, "LogisticRegression", 0.5, 2.0), run(5, "SVC", 0.9, 3.0, seed=1)]
    # an accelerator adds seeds, but no seconds where there are those of a CPU
    runs += [run(50, "ViTClassifier()", 0.9, 0.1, device="cuda")]
    sections = to_sections("set", runs)
    assert list(sections) == ["set 5", "set 50"]
    few, many = ([line.split() for line in t.splitlines()] for t in sections.values())
    assert few[3:5] == [
        ["LogisticRegression", "1", "0.5000", "2.0"],
        ["SVC", "2", "0.8000", "0.1414", "2.0"],
    ]
    assert many[3] == ["ViTClassifier()", "1", "0.9000", "8.0"]
    assert sections["set 5"].endswith("Measured on a cpu, commit abc.")
    assert sections["set 50"].endswith(
        "Measured on a cpu, commit abc; a cuda, commit abc."
    )
