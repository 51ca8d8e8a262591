import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.model_selection import GroupKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from skvit import load_image_folder

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path, photo_tiles):
    """A folder of photographs for each of two classes."""
    root = tmp_path / "photographs"
    for row, (tile, label) in enumerate(zip(*photo_tiles, strict=True)):
        home = root / label / ("more" if row % 2 else "")
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile).save(home / f"{row:02}.PNG")
    return root


def test_paths_and_labels(folder):
    (folder / "readme.txt").touch()
    (folder / "china" / "notes.csv").touch()
    (folder / "china" / "._00.png").touch()
    (folder / ".git").mkdir()
    images = load_image_folder(str(folder))
    assert list(images.columns) == ["path", "label"]
    assert images["label"].value_counts().to_dict() == {"china": 20, "flower": 20}
    assert all(
        f"{label}/" in path.removeprefix(str(folder))
        for path, label in images.itertuples(index=False)
    )
    pd.testing.assert_frame_equal(images, load_image_folder(folder))
    pd.testing.assert_frame_equal(images, images.sort_values(["label", "path"]))


def test_links_are_followed(folder, tmp_path):
    """Of classes, of folders in them and of files, also where they are elsewhere."""
    plain = load_image_folder(folder)
    linked = tmp_path / "linked"
    (linked / "flower").mkdir(parents=True)
    (linked / "china").symlink_to(folder / "china")
    for item in (folder / "flower").iterdir():
        (linked / "flower" / item.name).symlink_to(item)
    images = load_image_folder(linked)
    ends = plain["path"].str.removeprefix(str(folder))
    assert images["path"].str.removeprefix(str(linked)).tolist() == ends.tolist()
    assert images["label"].tolist() == plain["label"].tolist()


def test_links_back_are_passed_over(folder):
    plain = load_image_folder(folder)
    (folder / "china" / "more" / "again").symlink_to(folder / "china")
    (folder / "china" / "all").symlink_to(folder)
    (folder / "china" / "itself").symlink_to("itself")
    (folder / "flower" / "twice").symlink_to(folder / "flower" / "more")
    (folder / "flower" / "broken.png").symlink_to("absent.png")
    pd.testing.assert_frame_equal(load_image_folder(folder), plain)


def test_as_in_every_tutorial(folder, make_tiny):
    images = load_image_folder(folder)
    train, test = train_test_split(images, stratify=images["label"], random_state=0)
    clf = make_tiny(max_epochs=20).fit(train[["path"]], train["label"])
    assert not hasattr(clf, "feature_names_in_")
    assert clf.score(test[["path"]], test["label"]) > 0.6
    assert clf.score(test["path"], test["label"]) > 0.6


def test_groups(folder, make_tiny):
    images = load_image_folder(folder)
    scores = cross_val_score(
        make_tiny(),
        images[["path"]],
        images["label"],
        groups=np.arange(40) // 4,
        cv=GroupKFold(2),
    )
    assert np.isfinite(scores).all()


def test_stack_of_images_and_columns(folder, make_tiny):
    images = load_image_folder(folder).assign(size=np.arange(40.0) % 7, light=1.0)
    vit = ColumnTransformer([("images", "passthrough", ["path"])])
    table = ColumnTransformer([("table", "passthrough", ["size", "light"])])
    stack = StackingClassifier(
        [
            ("vit", make_pipeline(vit, make_tiny())),
            ("forest", make_pipeline(table, RandomForestClassifier(5, random_state=0))),
        ],
        cv=2,
    )
    stack.fit(images.drop(columns="label"), images["label"])
    assert stack.predict_proba(images.drop(columns="label")).shape == (40, 2)


def test_a_folder_named_like_an_image_is_none(folder):
    plain = load_image_folder(folder)
    (folder / "china" / "folder.png").mkdir()
    pd.testing.assert_frame_equal(load_image_folder(folder), plain)


def test_what_is_no_folder(tmp_path):
    with pytest.raises(ValueError, match="not an existing folder"):
        load_image_folder(tmp_path / "absent")
    with pytest.raises(ValueError, match="has no folders"):
        load_image_folder(tmp_path)


def test_a_class_without_images(folder):
    (folder / "absent").mkdir()
    with pytest.raises(ValueError, match=r"The folders \['absent'\] .* have no images"):
        load_image_folder(folder)
