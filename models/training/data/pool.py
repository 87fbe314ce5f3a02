"""A function over a stream in several processes, its results in the stream's order. Knows nothing of rows."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class OrderedMap(Protocol):
    """Like `map`, but items are taken only as results are."""

    def __call__(self, function: Callable[[In], Out], items: Iterable[In], /) -> Iterator[Out]:
        """Results in the order of `items`."""
        ...


@contextmanager
def ordered_map(num_workers: int, start: Callable[..., None], *args: object) -> Iterator[OrderedMap]:
    """An OrderedMap over `num_workers` processes, each made ready by `start(*args)`; in this one for 1."""
    if num_workers == 1:
        start(*args)
        yield map
        return
    # Not forked: a process with threads of its own, as tokenizers has them, must not be.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=start, initargs=args) as pool:
        yield _over(pool, depth=2 * num_workers)


def _over(pool: ProcessPoolExecutor, depth: int) -> OrderedMap:
    def run(function: Callable[[In], Out], items: Iterable[In], /) -> Iterator[Out]:
        pending: deque[Future[Out]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    return run
