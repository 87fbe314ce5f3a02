"""qdts.json: absent it changes nothing; read back as written; what is unknown in it is named."""

from pathlib import Path

import pytest

from qdts.errors import WeightsCorrupt
from qdts.models.settings import SETTINGS, Copying, ModelSettings, copy_settings

TRIMS = ModelSettings(copying=Copying(trims=True))


def test_a_directory_without_it_has_the_defaults(tmp_path: Path) -> None:
    assert ModelSettings.load(tmp_path) == ModelSettings()
    assert not ModelSettings().copying.trims


@pytest.mark.parametrize("settings", [TRIMS, ModelSettings()])
def test_written_and_read(tmp_path: Path, settings: ModelSettings) -> None:
    settings.save(tmp_path / "new")
    assert ModelSettings.load(tmp_path / "new") == settings


@pytest.mark.parametrize("text", ["{}", '{"copying": {}}'])
def test_what_it_leaves_out_is_the_default(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS).write_text(text)
    assert ModelSettings.load(tmp_path) == ModelSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "qdts.json"),
        ("[]", "it must be a JSON object"),
        ('{"decoding": {}}', "unknown setting decoding; known: copying"),
        ('{"copying": 1}', "copying must be a JSON object, is 1"),
        ('{"copying": {"trim": true}}', "unknown setting copying.trim; known: trims"),
        ('{"copying": {"trims": "yes"}}', "copying.trims must be true or false, is 'yes'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(WeightsCorrupt, match=message):
        ModelSettings.load(tmp_path)


def test_copied_with_a_model(tmp_path: Path) -> None:
    source, bare, target = tmp_path / "source", tmp_path / "bare", tmp_path / "target"
    for directory in (source, bare, target):
        directory.mkdir()
    TRIMS.save(source)
    copy_settings(source, target)
    assert ModelSettings.load(target) == TRIMS
    copy_settings(bare, target)
    assert not (target / SETTINGS).exists()
