"""An engine's load where all fronts can read it without asking: one record in a file that they map.

One process writes, any number read. A record is stored in one piece and carries a checksum: a reader that meets it half
written reads again. What an engine said last is not believed for long: one that has died says nothing new.
"""

import math
import mmap
import os
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from qdts.errors import Unavailable
from qdts.service.deadline import Clock
from qdts.service.request import Priority

# An engine says at least every BEAT_S that it lives; after STALE_S without it nobody believes what stands there.
BEAT_S = 0.05
STALE_S = 2.0

# Number of the record, when; places, queue; running, queued by class, fronts; mean time a place is taken, since when
# the model has been in a call; whether it takes nothing new; version
_RECORD = struct.Struct("<QdIIIIIIIdd?64s")
_CHECK = struct.Struct("<I")
_SIZE = _RECORD.size + _CHECK.size
# A write takes a microsecond: who meets that many has not met one.
_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy an engine is. Times are those of time.monotonic(), which all processes of a machine share."""

    at: float  # when this was so
    num_places: int
    max_queue: int
    num_running: int
    queued: dict[Priority, int]
    num_fronts: int
    taken_s: float | None = None  # for how long a place is taken, on average; None: none has come free yet
    called_at: float | None = None  # since when the model has been in one call; None: it is in none
    is_draining: bool = False
    version: str = ""

    @property
    def num_inside(self) -> int:
        """Jobs waiting and running."""
        return self.num_running + sum(self.queued.values())

    def age_s(self, clock: Clock = time.monotonic) -> float:
        """How long ago that was."""
        return max(0.0, clock() - self.at)


class BoardWriter:
    """Makes the file, anew; the one writer of it."""

    def __init__(self, path: Path) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(bytes(_SIZE))
        with fresh.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        os.replace(fresh, path)  # who has the one before goes on with that
        self._path = path
        self._num_written = 0

    def write(self, load: Load) -> None:
        """Say it. One thread's."""
        self._num_written += 1
        record = _RECORD.pack(
            self._num_written,
            load.at,
            load.num_places,
            load.max_queue,
            load.num_running,
            *(load.queued[priority] for priority in Priority),
            load.num_fronts,
            math.nan if load.taken_s is None else load.taken_s,
            math.nan if load.called_at is None else load.called_at,
            load.is_draining,
            load.version.encode()[:64],
        )
        self._memory[:] = record + _CHECK.pack(zlib.crc32(record))

    def close(self) -> None:
        """Remove the file; who has mapped it keeps what was said last."""
        self._memory.close()
        self._path.unlink(missing_ok=True)


class BoardReader:
    """Reads what the engine says now. One thread's."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._memory = mmap.mmap(file.fileno(), _SIZE, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Unavailable(f"no board of an engine at {path.name}") from error
        self._last: Load | None = None
        self._record = b""

    def read(self) -> Load | None:
        """The last whole record; None until there is one."""
        for _ in range(_TRIES):
            data = self._memory[:]
            if data == self._record:
                break
            if _CHECK.unpack_from(data, _RECORD.size)[0] == zlib.crc32(data[: _RECORD.size]) and any(data):
                self._record, self._last = data, _load(data)
                break
        return self._last

    def close(self) -> None:
        """Read no more."""
        self._memory.close()


def _load(data: bytes) -> Load:
    _, at, num_places, max_queue, num_running, *queued, num_fronts, taken_s, called_at, is_draining, version = (
        _RECORD.unpack_from(data)
    )
    return Load(
        at=at,
        num_places=num_places,
        max_queue=max_queue,
        num_running=num_running,
        queued=dict(zip(Priority, queued, strict=True)),
        num_fronts=num_fronts,
        taken_s=None if math.isnan(taken_s) else taken_s,
        called_at=None if math.isnan(called_at) else called_at,
        is_draining=is_draining,
        version=version.rstrip(b"\0").decode("utf-8", "replace"),
    )
