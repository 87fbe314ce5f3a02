"""A .npy file written piece by piece, for arrays that memory does not hold. Knows nothing of what they mean."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt


class ArrayFile:
    """Appends to a one- or two-dimensional array on disk; np.load reads the file once it is closed.

    numpy leaves room in the header for the first dimension to grow, so that it can be written again in the end.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, width: int | None = None) -> None:
        self.length = 0
        self._dtype = np.dtype(dtype)
        self._tail = () if width is None else (width,)
        self._file = path.open("wb")
        self._write_header()

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Write rows (N,) or (N, width), converted to the file's type."""
        assert rows.shape[1:] == self._tail
        self._file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
        self.length += len(rows)

    def close(self) -> None:
        """Write how long the array has become."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_header(self) -> None:
        header: dict[str, Any] = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.length, *self._tail),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
