"""The private directory in which the processes of one server find each other: sockets, boards, the generation.

Who supervises holds its lock. Whoever is left after the supervisor was killed removes it, unless another has taken it.
"""

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from qdts.errors import ConfigError, Unavailable
from qdts.service.processes.addresses import GENERATION, Addresses

_LOCK = "lock"
# What is ours to remove, should the directory hold anything else.
_OURS = (f"{GENERATION}*", "engine-*")
# Of the path of a Unix socket there is room for 107 bytes, on some systems 103, the file's name included.
MAX_PATH_BYTES = 80


class Directory:
    """Held from open() to remove()."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: str) -> "Directory":
        """The directory at `path`, empty, or a new one for "". ConfigError where it is another's or in use."""
        place = Path(path or tempfile.mkdtemp(prefix="qdts-")).absolute()
        if len(os.fsencode(place)) > MAX_PATH_BYTES:
            raise ConfigError(f"processes.directory = {path!r}: must have at most {MAX_PATH_BYTES} bytes")
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            Addresses(place).check()
            lock = _take_lock(place)
        except OSError as error:
            raise ConfigError(f"processes.directory = {path!r}: {error.strerror}") from error
        if lock is None:
            raise ConfigError(f"processes.directory = {path!r}: another server uses it")
        _empty(place)
        return cls(place, lock)

    def publish(self, generation: int, model: str) -> None:
        """Say which engines are the newest, and of which model; whoever reads gets all of the old or of the new.

        Unavailable where that cannot be written.
        """
        draft = self.path / f"{GENERATION}.new"
        try:
            draft.write_bytes(b"%d\n%s\n" % (generation, os.fsencode(model)))
            draft.rename(self.path / GENERATION)
        except OSError as error:
            raise Unavailable(f"processes.directory: {error.strerror}") from error

    def remove(self) -> None:
        """With all that is in it."""
        _remove(self.path)
        os.close(self._lock)


def remove_orphaned(path: Path) -> None:
    """Remove the directory if nobody supervises it any more."""
    with contextlib.suppress(OSError):
        lock = _take_lock(path)
        if lock is not None:
            _remove(path)
            os.close(lock)


def _take_lock(path: Path) -> int | None:
    """A descriptor that holds the lock, or None: it is held."""
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _empty(path: Path) -> None:
    for pattern in _OURS:
        for file in path.glob(pattern):
            file.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # others may remove it at the same time
        _empty(path)
        (path / _LOCK).unlink()
        path.rmdir()
