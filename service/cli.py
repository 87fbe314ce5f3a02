"""The command `qdts`: finds the subcommand, runs it, turns its errors into one line and an exit status.

Exit status: 0 done, 1 it failed, 2 it was asked wrongly, 130 interrupted. Anything heavy is imported by the
subcommand that needs it, when it runs: `qdts --help` must not wait for a runtime.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from qdts import __version__
from qdts.errors import ConfigError, InvalidRequest, QdtsError
from qdts.service.commands import COMMANDS

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    args = make_parser().parse_args(argv)
    try:
        return args.run(args)
    except (ConfigError, InvalidRequest) as fault:
        return _complain(str(fault), MISUSED)
    except QdtsError as fault:
        return _complain(str(fault), FAILED)
    except BrokenPipeError:
        # The reader went away (`qdts ... | head`): nothing more can be said, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as fault:
        return _complain(f"{fault.filename or ''}: {fault.strerror or fault}".removeprefix(": "), FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="qdts", description="Short, faithful, query-driven summaries.")
    parser.add_argument("--version", action="version", version=f"qdts {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    return parser


def _complain(message: str, status: int) -> int:
    line = " ".join(message.split())
    print(f"qdts: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
