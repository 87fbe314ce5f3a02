"""`qdts summarize`: one document, one query, one summary."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdts.errors import InvalidRequest
from qdts.service.commands import backend

if TYPE_CHECKING:
    from qdts.service.client.messages import Reply


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("summarize", help="summarise one document with respect to a query")
    parser.add_argument("--query", required=True, metavar="TEXT", help="what the reader wants to know")
    parser.add_argument("--doc-file", required=True, metavar="FILE", help="the document as UTF-8 text; - for stdin")
    parser.add_argument("--title", default="", metavar="TEXT", help="the document's title")
    parser.add_argument("--language", default="", metavar="TAG", help='BCP-47, such as "en"')
    parser.add_argument("--json", action="store_true", help="the whole reply as one JSON object")
    backend.add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the summary; what made it goes to stderr."""
    reply = asyncio.run(_ask(args, read_text(args.doc_file)))
    if args.json:
        print(to_json(reply))
    else:
        print(reply.summary)
        print(describe(reply), file=sys.stderr)
    return 0


def read_text(name: str) -> str:
    """The text of a file, or of stdin for "-"; InvalidRequest if it is not UTF-8."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise InvalidRequest("doc-file", f"{name} is not UTF-8 at byte {fault.start}") from None


def to_json(reply: "Reply") -> str:
    """The reply as one JSON object; spans are {"start", "end"} in code points."""
    import json
    from dataclasses import asdict

    return json.dumps(asdict(reply), ensure_ascii=False, indent=1)


def describe(reply: "Reply") -> str:
    """One line about how the summary came about."""
    reasons = f" ({', '.join(reply.degrade_reasons)})" if reply.degrade_reasons else ""
    model = f" · {reply.model_version}" if reply.model_version else ""
    return f"{reply.rung}{reasons} · read {reply.coverage:.0%} · {reply.timings.total_ms:.0f} ms{model}"


async def _ask(args: argparse.Namespace, text: str) -> "Reply":
    from qdts.models.document import Document

    document = Document(text=text, title=args.title, language=args.language)
    async with backend.open_backend(args) as answering:
        return await answering.summarize(
            args.query,
            document,
            timeout_s=args.timeout,
            max_words=args.max_words,
            tier=backend.tier_of(args),
        )
