"""Rows of arrays of any length on disk: written as they come, read through the page cache. Knows nothing of what
they mean.

A directory holds for each column NAME.npy, all rows on end, and NAME_len.npy; about.json says what it was made from.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qdts.models.training.array_file import ArrayFile

Row = Mapping[str, npt.NDArray[Any]]

_ABOUT = "about.json"


class RaggedWriter:
    """Writes `directory` row by row, in a `with` statement: it is there, whole, once that ends without an error."""

    def __init__(self, directory: Path, columns: Mapping[str, str], about: Mapping[str, Any]) -> None:
        """`columns` maps names to numpy types, such as "uint16"."""
        self._directory = directory
        self._partial = directory.with_name(directory.name + ".partial")
        self._columns = columns
        self._about = about
        self._files: dict[str, tuple[ArrayFile, ArrayFile]] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        for name, kind in self._columns.items():
            values = self._open.enter_context(ArrayFile(self._partial / f"{name}.npy", kind))
            lengths = self._open.enter_context(ArrayFile(self._partial / f"{name}_len.npy", np.int64))
            self._files[name] = values, lengths
        return self

    def append(self, row: Row) -> None:
        """One row: a one-dimensional array for every column."""
        assert row.keys() == self._columns.keys(), f"a row has the columns {sorted(self._columns)}"
        for name, array in row.items():
            values, lengths = self._files[name]
            values.append(array)
            lengths.append(np.array([len(array)]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if kind is None:
            (self._partial / _ABOUT).write_text(json.dumps(dict(self._about), indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(self._directory, ignore_errors=True)
            self._partial.rename(self._directory)


class RaggedReader(Sequence[Row]):
    """What a RaggedWriter wrote."""

    def __init__(self, directory: Path) -> None:
        names = [path.name.removesuffix("_len.npy") for path in sorted(directory.glob("*_len.npy"))]
        self.about: dict[str, Any] = json.loads((directory / _ABOUT).read_text(encoding="utf-8"))
        self.lengths: dict[str, npt.NDArray[np.int64]] = {n: np.load(directory / f"{n}_len.npy") for n in names}
        self._starts = {name: np.concatenate([[0], np.cumsum(sizes)]) for name, sizes in self.lengths.items()}
        self._data = {name: _mapped(directory / f"{name}.npy", int(self._starts[name][-1])) for name in names}

    def __len__(self) -> int:
        return len(next(iter(self.lengths.values())))

    def __getitem__(self, index: Any) -> Any:
        """Row `index`; the arrays are views of the files."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return {name: self._data[name][starts[index] : starts[index + 1]] for name, starts in self._starts.items()}


def _mapped(path: Path, size: int) -> npt.NDArray[Any]:
    # Nothing cannot be mapped.
    return np.load(path, mmap_mode="r" if size else None)
