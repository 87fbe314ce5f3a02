"""Where the processes of one server meet: names of sockets and boards in a private directory, and which is newest."""

import os
import stat
from pathlib import Path

from qdts.errors import ConfigError, Unavailable


class Addresses:
    """engine-<generation>-<index>.sock and .board, and `generation`, which names the newest that is ready."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def check(self) -> None:
        """ConfigError unless the directory is ours and nobody else may enter it."""
        try:
            status = self.directory.stat()
        except OSError as error:
            raise ConfigError(f"processes.directory = {self.directory}: {error.strerror}") from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ConfigError(f"processes.directory = {self.directory}: must be a directory of this user's, mode 0700")

    def socket(self, generation: int, index: int) -> Path:
        """Where that engine listens."""
        return self.directory / f"engine-{generation}-{index}.sock"

    def board(self, generation: int, index: int) -> Path:
        """Where that engine says how busy it is."""
        return self.directory / f"engine-{generation}-{index}.board"

    @property
    def generation(self) -> int:
        """The newest generation of engines that is ready. Unavailable if none is yet."""
        try:
            return int((self.directory / "generation").read_text())
        except (OSError, ValueError) as error:
            raise Unavailable("no engine is ready yet") from error
