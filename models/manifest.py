"""manifest.json: what a model directory holds, file by file, checked before anything in it is loaded.

Knows nothing of torch or ONNX. A directory is accepted whole or refused with the file's name and what to do.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from qdts.errors import WeightsCorrupt, WeightsMissing

MANIFEST = "manifest.json"
# Loading one of these runs code that its author chose.
PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
_FETCH_AGAIN = "Fetch the model again from where it was released."
_PREFIX = 12  # digits of a digest shown to people


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file as it was released."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of manifest.json; `files` maps relative POSIX paths to entries."""

    name: str
    version: str
    licence: str
    created: str
    files: Mapping[str, FileEntry]
    training_data: Sequence[Any] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    architecture: Mapping[str, Any] = field(default_factory=dict[str, Any])
    # Per quantised precision what its weights and activations are, and which CPUs it needs.
    quantization: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def digest(self) -> str:
        """One SHA-256 over all files' paths and digests: the identity of the weights."""
        lines = "".join(f"{path} {self.files[path].sha256}\n" for path in sorted(self.files))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def label(self) -> str:
        """Name and digest: what replies and cache keys call the model."""
        return f"{self.name}@{self.digest[:_PREFIX]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a release says about itself beside its files."""

    name: str
    version: str
    licence: str
    training_data: Sequence[Any] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    architecture: Mapping[str, Any] = field(default_factory=dict[str, Any])
    quantization: Mapping[str, Any] = field(default_factory=dict[str, Any])


def verify(directory: Path) -> Manifest:
    """Check every file of `directory` against its manifest; WeightsMissing or WeightsCorrupt if not."""
    manifest = read(directory)
    for path in manifest.files:
        _check_path(directory, path)
    _check_unlisted(directory, manifest)
    for path, entry in manifest.files.items():
        _check_contents(directory / path, path, entry)
    return manifest


def read(directory: Path) -> Manifest:
    """The manifest alone, its files unchecked."""
    path = directory / MANIFEST
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there: without it no file is trusted. {_FETCH_AGAIN}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files = {name: FileEntry(**entry) for name, entry in values.pop("files").items()}
        return Manifest(files=files, **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsCorrupt(f"{path} is not a manifest ({error}). {_FETCH_AGAIN}") from error


def write(directory: Path, description: Description) -> Manifest:
    """Hash every file of `directory` and write its manifest.json."""
    files = _entries(directory, sorted(_contents(directory)))
    created = datetime.now(UTC).date().isoformat()
    about = {key: getattr(description, key) for key in description.__dataclass_fields__}
    return _save(directory, Manifest(created=created, files=files, **about))


def add(directory: Path, names: Sequence[str]) -> Manifest:
    """Hash these files of `directory` and list them in the manifest that is there; what else it lists stays."""
    manifest = read(directory)
    return _save(directory, replace(manifest, files={**manifest.files, **_entries(directory, names)}))


def write_metrics(directory: Path, metrics: Mapping[str, Any]) -> Manifest:
    """Put other metrics into the manifest that is there; its files are neither read nor hashed again."""
    return _save(directory, replace(read(directory), metrics=metrics))


def _save(directory: Path, manifest: Manifest) -> Manifest:
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def _entries(directory: Path, names: Sequence[str]) -> dict[str, FileEntry]:
    files: dict[str, FileEntry] = {}
    for name in names:
        _check_path(directory, name)
        path = directory / name
        files[name] = FileEntry(sha256=_sha256(path), bytes=path.stat().st_size)
    return files


def _contents(directory: Path) -> Iterator[str]:
    """Every file but the manifest and the prose, as relative POSIX paths."""
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if (path.is_file() or path.is_symlink()) and name != MANIFEST and path.suffix != ".md":
            yield name


def _check_path(directory: Path, name: str) -> None:
    """A listed path stays inside the directory, whatever links it passes, and is nothing that runs code."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or str(parts) != name:
        raise WeightsCorrupt(f"{MANIFEST} lists {name!r}: not a plain path inside the model directory.")
    if parts.suffix.lower() in PICKLES:
        raise WeightsCorrupt(f"{name} can run code when loaded: convert it to safetensors and remove it.")
    if not (directory / name).resolve().is_relative_to(directory.resolve()):
        raise WeightsCorrupt(f"{name} is a link that leaves the model directory: put the file itself there.")


def _check_unlisted(directory: Path, manifest: Manifest) -> None:
    unlisted = sorted(name for name in _contents(directory) if name not in manifest.files)
    if unlisted:
        raise WeightsCorrupt(f"{unlisted[0]} is not listed in {MANIFEST}: remove it, or write a new one.")


def _check_contents(path: Path, name: str, entry: FileEntry) -> None:
    if not path.is_file():
        raise WeightsMissing(
            f"{name} is not there; expected {entry.bytes} bytes, sha256 {entry.sha256[:_PREFIX]}. {_FETCH_AGAIN}"
        )
    actual = _sha256(path)
    if actual != entry.sha256 or path.stat().st_size != entry.bytes:
        raise WeightsCorrupt(
            f"{name} differs from {MANIFEST}: expected sha256 {entry.sha256[:_PREFIX]} ({entry.bytes} bytes),"
            f" found {actual[:_PREFIX]} ({path.stat().st_size} bytes). {_FETCH_AGAIN}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
