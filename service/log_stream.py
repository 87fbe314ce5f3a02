"""Standard error as the log's place. Who reads it slowly, or not at all, holds no call up: lines are dropped then.

A full pipe stops whoever writes to it, and here that is the event loop. So a line is written only where it can be at
once, which a pipe says while it takes PIPE_BUF bytes; what was dropped is counted, and told as soon as lines go again.
"""

import contextlib
import io
import json
import select
import sys
from typing import TextIO


class StandardError:
    """Whatever standard error is now. A log that cannot be written must not fail a call."""

    num_dropped = 0  # since the last line that was written

    def __init__(self, *args: object) -> None:
        del args

    def msg(self, line: str) -> None:
        """One line, at any level."""
        with contextlib.suppress(OSError, ValueError):
            if not _takes_more(sys.stderr):
                StandardError.num_dropped += 1
                return
            if (num := StandardError.num_dropped) > 0:
                StandardError.num_dropped = 0
                sys.stderr.write(json.dumps({"event": "log_lines_dropped", "num": num, "level": "warning"}) + "\n")
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = msg


def _takes_more(stream: TextIO) -> bool:
    """Whether a line can be written without waiting; errors are for who writes it."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return True  # it is none of the system's
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
