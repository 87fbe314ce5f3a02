"""`qdts batch`: rows of JSONL in, rows of JSONL out, in the same order. A bad row never stops the run."""

import argparse
import asyncio
import json
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from qdts.errors import ConfigError, QdtsError
from qdts.service.commands import backend

if TYPE_CHECKING:
    from qdts.service.commands.backend import Backend
    from qdts.service.commands.rows import Row

# Rows in flight at once: enough to keep a server busy, few enough that memory stays flat.
MAX_IN_FLIGHT = 16


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "batch",
        help="summarise many documents, JSONL to JSONL",
        description='Rows {"id", "query", "doc"}, optionally "title" and "language", become '
        '{"id", "summary", "rung", ...}; a bad row becomes {"id", "line", "error": {"field", "problem"}}.',
    )
    parser.add_argument("input", type=Path, metavar="IN.jsonl")
    parser.add_argument("output", type=Path, metavar="OUT.jsonl")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    backend.add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write one row per row read; the count of what became of them goes to stderr."""
    if args.output.exists() and args.output.samefile(args.input):
        raise ConfigError(f"OUT.jsonl: {args.output} is the input itself")
    with args.input.open("rb") as lines:
        counts = asyncio.run(_run(args, lines))
    print(_describe(counts), file=sys.stderr)
    return 0


async def _run(args: argparse.Namespace, lines: IO[bytes]) -> Counter[str]:
    from tqdm import tqdm

    counts: Counter[str] = Counter()
    total = None if args.quiet else _count_lines(args.input)
    async with backend.open_backend(args) as answering:
        # Only now: where nobody answers, an earlier output stays as it is.
        with (
            args.output.open("w", encoding="utf-8") as out,
            tqdm(total=total, unit="row", mininterval=0.5, disable=args.quiet, file=sys.stderr) as bar,
        ):
            async for values in answer_all(answering, lines, args):
                out.write(json.dumps(values, ensure_ascii=False) + "\n")
                counts[str(values.get("rung", "error"))] += 1
                bar.update()
    return counts


async def answer_all(
    answering: "Backend", lines: Iterable[bytes], args: argparse.Namespace
) -> AsyncIterator[dict[str, object]]:
    """One output row per line that is not blank, in order, with a bounded number in flight."""
    waiting: deque[asyncio.Task[dict[str, object]]] = deque()
    try:
        for line, data in enumerate(lines, start=1):
            if not data.strip():
                continue
            waiting.append(asyncio.create_task(_answer_line(answering, data, line, args)))
            if len(waiting) >= MAX_IN_FLIGHT:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()


async def _answer_line(answering: "Backend", data: bytes, line: int, args: argparse.Namespace) -> dict[str, object]:
    from qdts.service.commands.rows import BadRow, answer_row, error_row, parse_row

    row = parse_row(data, line)
    if isinstance(row, BadRow):
        return error_row(row.id, row.line, row.fault)
    try:
        return answer_row(row, await _ask(answering, row, args))
    except QdtsError as fault:
        return error_row(row.id, line, fault)


async def _ask(answering: "Backend", row: "Row", args: argparse.Namespace) -> Any:
    return await answering.summarize(
        row.query,
        row.document,
        timeout_s=args.timeout,
        max_words=args.max_words,
        tier=backend.tier_of(args),
        priority="bulk",
    )


def _count_lines(path: Path) -> int | None:
    """Lines of a regular file; None for a pipe, which can be read only once."""
    if not path.is_file():
        return None
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def _describe(counts: Counter[str]) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"{counts.total()} rows: {parts or 'none'}"
