"""Which directory a model's name means."""

from pathlib import Path

import pytest

import qdts.models
from qdts.errors import ConfigError, WeightsMissing
from qdts.models.manifest import MANIFEST
from qdts.models.shipped import WEIGHTS_DIR, find_model, shipped_models


def ship(weights_dir: Path, name: str) -> Path:
    (weights_dir / name).mkdir()
    (weights_dir / name / MANIFEST).touch()
    return weights_dir / name


def test_weights_lie_beside_the_code() -> None:
    assert WEIGHTS_DIR.resolve() == Path(qdts.models.__file__).resolve().parent / "weights"


def test_none_is_no_model(tmp_path: Path) -> None:
    ship(tmp_path, "small")
    assert find_model("none", tmp_path) is None


def test_nothing_asked_for_is_the_one_that_ships(tmp_path: Path) -> None:
    assert find_model("", tmp_path) is None
    expected = ship(tmp_path, "small")
    assert find_model("", tmp_path) == expected


def test_nothing_asked_for_is_ambiguous_where_two_ship(tmp_path: Path) -> None:
    ship(tmp_path, "small")
    ship(tmp_path, "large")
    with pytest.raises(ConfigError, match="name one of large, small"):
        find_model("", tmp_path)
    assert find_model("small", tmp_path) == tmp_path / "small"


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert find_model(str(tmp_path / "mine"), tmp_path / "weights") == tmp_path / "mine"


def test_a_directory_without_manifest_does_not_ship(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    assert shipped_models(tmp_path) == []


def test_says_what_ships_where_the_name_is_unknown(tmp_path: Path) -> None:
    ship(tmp_path, "small")
    with pytest.raises(WeightsMissing, match="'huge' .* shipped: small"):
        find_model("huge", tmp_path)
