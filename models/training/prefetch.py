"""Make batches ahead of their use, in a thread, in order. Knows nothing of what they hold."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_END = object()


def prefetch(items: Iterator[Any], size: int) -> Generator[Any]:
    """The same items in the same order, up to `size` of them made ahead; 0 makes none ahead.

    What `items` raises is raised here, in its place. Closing the generator ends the thread.
    """
    if size == 0:
        yield from items
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        ahead = deque(pool.submit(next, items, _END) for _ in range(size))
        while (item := ahead.popleft().result()) is not _END:
            ahead.append(pool.submit(next, items, _END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
