"""What a supervisor tells a child on its standard input: settings as one line, then orders, a line of JSON each.

{"log_level": "debug"}   from which level on it logs

Who starts a process may tell it anything, so this trusts what it reads; what it does not know it leaves undone, and
logs. The end of the input is the supervisor's.
"""

import json
import os
from typing import Any, cast

from qdts.service import logs
from qdts.service.config import ServerConfig
from qdts.service.processes.handover import unpack_config

STANDARD_INPUT = 0
LEVELS = frozenset({"debug", "info", "warning", "error"})


def log_level_order(level: str) -> bytes:
    """The line that says so."""
    return json.dumps({"log_level": level}).encode() + b"\n"


def read_settings(descriptor: int = STANDARD_INPUT) -> ServerConfig:
    """The first line, and nothing of what comes after it. Blocks. ConfigError where it is none."""
    with open(descriptor, "rb", buffering=0, closefd=False) as unbuffered:
        return unpack_config(unbuffered.readline())


class Orders:
    """All that comes after the settings. One thread's."""

    def __init__(self, descriptor: int = STANDARD_INPUT) -> None:
        self._descriptor = descriptor
        self._begun = b""  # a line without its end

    def obey(self) -> bool:
        """Do what has come; False at the end of the input. Blocks where nothing has."""
        data = os.read(self._descriptor, 4096)
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            _obey(line)
        return bool(data)


def _obey(line: bytes) -> None:
    try:
        order = json.loads(line)
    except ValueError:  # JSON or UTF-8
        order = None
    match cast("Any", order):
        case {"log_level": str(level)} if level in LEVELS:
            logs.configure(level)
        case dict():
            logs.warning("order_unknown", names=sorted(cast("dict[str, object]", order)))
        case _:
            logs.warning("order_unknown", names=None)
