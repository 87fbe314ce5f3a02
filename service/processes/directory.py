"""The private directory in which the processes of one server meet."""

import os
import stat
import tempfile
from pathlib import Path

from qdts.errors import ConfigError, Unavailable

_NEWEST = "generation"


class Directory:
    """engine-<generation>-<index>.sock and .board, and `generation`, which names the newest that is ready."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: str) -> "Directory":
        """The one that the settings name, made if need be; "" makes a fresh one. ConfigError if it is not ours."""
        directory = cls(Path(path or tempfile.mkdtemp(prefix="qdts-")))
        try:
            directory.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"processes.directory = {path}: cannot be made: {error.strerror}") from error
        directory.check()
        return directory

    def check(self) -> None:
        """ConfigError unless it is a directory of ours that nobody else may enter."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise ConfigError(f"processes.directory = {self.path}: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"processes.directory = {self.path}: is no directory")
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ConfigError(f"processes.directory = {self.path}: must be this user's alone, mode 0700")

    def socket(self, generation: int, index: int) -> Path:
        """Where that engine listens."""
        return self.path / f"engine-{generation}-{index}.sock"

    def board(self, generation: int, index: int) -> Path:
        """Where that engine says how busy it is."""
        return self.path / f"engine-{generation}-{index}.board"

    @property
    def generation(self) -> int:
        """The newest generation of engines that is ready. Unavailable if none is yet."""
        try:
            return int((self.path / _NEWEST).read_text())
        except (OSError, ValueError) as error:
            raise Unavailable("no engine is ready yet") from error

    def publish(self, generation: int) -> None:
        """Name the newest generation, in one step."""
        fresh = self.path / f"{_NEWEST}.new"
        fresh.write_text(str(generation))
        os.replace(fresh, self.path / _NEWEST)
