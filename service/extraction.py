"""The rungs that need no model, and the threads in which text is read. Knows nothing of gRPC."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from qdts.errors import DeadlineExceeded
from qdts.models.document import Document, Span, Summary, SummarySentence
from qdts.models.text.extractive import extract, lead
from qdts.service.deadline import Deadline
from qdts.service.request import Request

# What the lead rung reads at most: its cost is bounded whatever the document, so it needs no thread.
LEAD_CHARS = 2_000
# What looks like the end of a sentence, and how many of them are read: prose of 2 MB has fewer, and a thread
# that reads cannot be stopped.
_BREAK = re.compile(r"[.!?]\s|[\u3002\uff01\uff1f\n]")
MAX_BREAKS = 50_000
# Names what makes extractive answers, in cache keys: raise it when they change.
EXTRACTIVE_VERSION = "extractive@1"

_Result = TypeVar("_Result")


class TextThreads:
    """A few threads for work on text that may take longer than the event loop can wait."""

    def __init__(self, num_threads: int) -> None:
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="text")
        # Under overload most requests get an extract; the model must not wait for its prompts behind them.
        self._prompts = ThreadPoolExecutor(num_threads, thread_name_prefix="prompt")

    async def run(self, work: Callable[[], _Result], deadline: Deadline, *, is_for_model: bool = False) -> _Result:
        """work() in a thread. DeadlineExceeded, without starting it, if its turn comes too late."""

        def checked() -> _Result:
            if deadline.expired:
                raise DeadlineExceeded("the deadline passed while waiting to read the text")
            return work()

        pool = self._prompts if is_for_model else self._pool
        return await asyncio.get_running_loop().run_in_executor(pool, checked)

    def close(self) -> None:
        """Start nothing any more; does not wait for what runs."""
        for pool in (self._pool, self._prompts):
            pool.shutdown(wait=False, cancel_futures=True)


def extractive_summary(request: Request) -> Summary:
    """The document's best sentences by BM25. Time grows with the document: not for the event loop."""
    document = readable(request.document)
    return scaled(extract(request.query, document, max_words=request.max_words), document, request.document)


def readable(document: Document) -> Document:
    """The document up to as many sentences as can be read in a second or two; nearly always all of it."""
    if len(document.text) <= 2 * MAX_BREAKS:
        return document
    for count, match in enumerate(_BREAK.finditer(document.text), start=1):
        if count == MAX_BREAKS:
            return replace(document, text=document.text[: match.end()])
    return document


def scaled(summary: Summary, read: Document, whole: Document) -> Summary:
    """A summary of `read`, the beginning of `whole`, with its coverage of the whole."""
    if read is whole:
        return summary
    return replace(summary, coverage=summary.coverage * len(read.text) / len(whole.text))


def lead_summary(request: Request) -> Summary:
    """The beginning of the document: bounded work, whatever the document, so it needs no thread."""
    document = request.document
    start = len(document.text) - len(document.text.lstrip())
    head = Document(text=document.text[start : start + LEAD_CHARS], language=document.language)
    summary = lead(head, max_words=request.max_words)
    sentences = tuple(_moved(sentence, start) for sentence in summary.sentences)
    return replace(summary, sentences=sentences, coverage=len(head.text) / len(document.text))


def _moved(sentence: SummarySentence, by: int) -> SummarySentence:
    source = sentence.source
    return replace(sentence, source=source and Span(source.start + by, source.end + by))
