"""Rows of arrays of any length on disk: written as they come, read through the page cache. Knows nothing of what
they mean.

A directory holds for each column NAME.bin, all rows on end, and NAME_len.npy; and columns.json, their types.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

Row = Mapping[str, npt.NDArray[Any]]

_COLUMNS = "columns.json"


class RaggedWriter:
    """Writes `directory` row by row, in a `with` statement: it is there, whole, once that ends without an error."""

    def __init__(self, directory: Path, columns: Mapping[str, str]) -> None:
        """`columns` maps names to numpy types, such as "uint16"."""
        self._directory = directory
        self._partial = directory.with_name(directory.name + ".partial")
        self._columns = {name: np.dtype(kind) for name, kind in columns.items()}
        self._lengths: dict[str, list[int]] = {name: [] for name in columns}
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._files = {name: (self._partial / f"{name}.bin").open("wb") for name in self._columns}
        return self

    def append(self, row: Row) -> None:
        """One row: a one-dimensional array for every column."""
        assert row.keys() == self._columns.keys(), f"a row has the columns {sorted(self._columns)}"
        for name, array in row.items():
            self._files[name].write(np.ascontiguousarray(array, self._columns[name]).tobytes())
            self._lengths[name].append(len(array))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        if kind is None:
            self._finish()

    def _finish(self) -> None:
        for name, lengths in self._lengths.items():
            np.save(self._partial / f"{name}_len.npy", np.array(lengths, np.int64))
        types = {name: kind.name for name, kind in self._columns.items()}
        (self._partial / _COLUMNS).write_text(json.dumps(types, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(self._directory, ignore_errors=True)
        self._partial.rename(self._directory)


class RaggedReader(Sequence[Row]):
    """What a RaggedWriter wrote."""

    def __init__(self, directory: Path) -> None:
        types: dict[str, str] = json.loads((directory / _COLUMNS).read_text(encoding="utf-8"))
        self.lengths = {name: np.load(directory / f"{name}_len.npy") for name in types}
        self._starts = {name: np.concatenate([[0], np.cumsum(sizes)]) for name, sizes in self.lengths.items()}
        self._data = {name: _mapped(directory / f"{name}.bin", kind) for name, kind in types.items()}

    def __len__(self) -> int:
        return len(next(iter(self.lengths.values())))

    def __getitem__(self, index: Any) -> Any:
        """Row `index`; the arrays are views of the files."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return {name: self._data[name][starts[index] : starts[index + 1]] for name, starts in self._starts.items()}


def _mapped(path: Path, kind: str) -> npt.NDArray[Any]:
    # A file of no bytes cannot be mapped.
    return np.memmap(path, kind, mode="r") if path.stat().st_size else np.zeros(0, kind)
