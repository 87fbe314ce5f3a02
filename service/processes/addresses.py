"""Where the processes of one server meet: names of sockets and boards in a private directory, and which is newest."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from qdts.errors import ConfigError, Unavailable

GENERATION = "generation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest generation of engines that is ready, and the directory of its model, or "none".

    None: what engine.model names, for engines that were started by hand.
    """

    generation: int
    model: str | None


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
    def newest(self) -> Newest:
        """Which engines to go to. Unavailable if none are ready yet."""
        try:
            number, _, model = (self.directory / GENERATION).read_bytes().partition(b"\n")
            return Newest(generation=int(number), model=os.fsdecode(model.removesuffix(b"\n")) or None)
        except (OSError, ValueError) as error:
            raise Unavailable("no engine is ready yet") from error
