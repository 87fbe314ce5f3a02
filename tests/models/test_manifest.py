"""A model directory is accepted whole or refused with the file's name and what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qdts.errors import WeightsCorrupt, WeightsError, WeightsMissing
from qdts.models.manifest import MANIFEST, Description, add, read, verify, write


@pytest.fixture
def released(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    (directory / "onnx" / "int8").mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(bytes(range(100)))
    (directory / "onnx" / "int8" / "step.onnx").write_bytes(b"graph")
    (directory / "README.md").write_text("prose may change")
    about = Description(name="tiny", version="1", licence="Apache-2.0", training_data=["x"], metrics={"rouge": 0.5})
    write(directory, about)
    return directory


def edit(directory: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    values = json.loads((directory / MANIFEST).read_text())
    change(values["files"])
    (directory / MANIFEST).write_text(json.dumps(values))


def test_an_intact_directory_is_accepted(released: Path) -> None:
    manifest = verify(released)
    assert (manifest.name, manifest.licence, manifest.metrics) == ("tiny", "Apache-2.0", {"rouge": 0.5})
    assert sorted(manifest.files) == ["config.json", "model.safetensors", "onnx/int8/step.onnx"]
    (released / "README.md").write_text("changed")
    assert verify(released).digest == manifest.digest


def test_a_model_is_called_by_its_name_and_digest(released: Path) -> None:
    manifest = read(released)
    assert manifest.label == f"tiny@{manifest.digest[:12]}"


def test_the_digest_follows_the_weights(released: Path) -> None:
    before = read(released).digest
    (released / "model.safetensors").write_bytes(b"other")
    assert write(released, Description(name="tiny", version="1", licence="MIT")).digest != before


@pytest.mark.parametrize("position", [0, 50, 99])
def test_a_flipped_bit_is_refused(released: Path, position: int) -> None:
    content = bytearray((released / "model.safetensors").read_bytes())
    content[position] ^= 1
    (released / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsCorrupt, match=r"model.safetensors .*expected sha256 [0-9a-f]{12}.*found [0-9a-f]{12}"):
        verify(released)


def test_swapped_files_are_refused(released: Path) -> None:
    left, right = released / "config.json", released / "model.safetensors"
    a, b = left.read_bytes(), right.read_bytes()
    left.write_bytes(b)
    right.write_bytes(a)
    with pytest.raises(WeightsCorrupt, match="config.json"):
        verify(released)


def test_a_missing_file_is_named_with_its_digest(released: Path) -> None:
    (released / "onnx" / "int8" / "step.onnx").unlink()
    with pytest.raises(WeightsMissing, match=r"onnx/int8/step.onnx .*sha256 [0-9a-f]{12}"):
        verify(released)


def test_a_directory_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=MANIFEST):
        verify(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a": {"sha256": "0"}}}', "null"])
def test_a_garbled_manifest_is_refused(released: Path, text: str) -> None:
    (released / MANIFEST).write_text(text)
    with pytest.raises(WeightsCorrupt, match="not a manifest"):
        verify(released)


def test_an_unlisted_file_is_refused(released: Path) -> None:
    (released / "onnx" / "extra.onnx").write_bytes(b"x")
    with pytest.raises(WeightsCorrupt, match="onnx/extra.onnx is not listed"):
        verify(released)


def test_files_are_added_and_the_others_stay(released: Path) -> None:
    before = read(released)
    (released / "onnx" / "extra.onnx").write_bytes(b"x")
    after = add(released, ["onnx/extra.onnx"])
    assert dict(after.files) == {**before.files, "onnx/extra.onnx": after.files["onnx/extra.onnx"]}
    assert after.digest != before.digest
    assert verify(released) == after


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "onnx/../config.json", "a\\b", "./config.json"])
def test_a_path_that_is_not_plain_is_refused(released: Path, name: str) -> None:
    (released.parent / "outside").write_bytes(b"x")
    edit(released, lambda files: files.update({name: {"sha256": "0", "bytes": 1}}))
    with pytest.raises(WeightsCorrupt, match="not a plain path"):
        verify(released)


def test_a_link_that_leaves_the_directory_is_refused(released: Path) -> None:
    outside = released.parent / "outside.safetensors"
    outside.write_bytes((released / "model.safetensors").read_bytes())
    (released / "model.safetensors").unlink()
    (released / "model.safetensors").symlink_to(outside)
    with pytest.raises(WeightsCorrupt, match="link that leaves"):
        verify(released)


def test_a_linked_folder_that_leaves_the_directory_is_refused(released: Path) -> None:
    folder = released / "onnx" / "int8"
    folder.rename(released.parent / "elsewhere")
    folder.symlink_to(released.parent / "elsewhere")
    with pytest.raises(WeightsCorrupt, match="link that leaves"):
        verify(released)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pkl", ".ckpt", ".PTH"])
def test_a_pickle_is_refused_even_where_it_is_listed(released: Path, suffix: str) -> None:
    edit(released, lambda files: files.update({f"model{suffix}": files["model.safetensors"]}))
    (released / "model.safetensors").rename(released / f"model{suffix}")
    with pytest.raises(WeightsCorrupt, match="can run code"):
        verify(released)
    with pytest.raises(WeightsError, match="can run code"):
        write(released, Description(name="tiny", version="1", licence="MIT"))
