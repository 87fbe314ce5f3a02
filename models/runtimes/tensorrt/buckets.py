"""The few shapes that batches are padded to: kernels are chosen, and CUDA graphs captured, once for each. Plain Python.

Shapes: B batch · S document tokens.
"""

from collections.abc import Iterator, Sequence

# Documents are padded to a multiple of this: a power of two would waste up to half of the encoder's work.
DOCUMENT_CHUNK = 64


def rows_bucket(count: int, limit: int) -> int:
    """The least power of two that holds `count` rows, or tokens of a step; at most `limit`, which is one, too."""
    assert 1 <= count <= limit, f"{count} is not in [1, {limit}]"
    return min(1 << (count - 1).bit_length(), limit)


def length_bucket(length: int, limit: int, chunk: int = DOCUMENT_CHUNK) -> int:
    """The least multiple of `chunk` that holds `length`; at most `limit`."""
    assert 1 <= length <= limit, f"{length} is not in [1, {limit}]"
    return min(-(-length // chunk) * chunk, limit)


def group_by_length(lengths: Sequence[int], *, max_rows: int, max_tokens: int) -> Iterator[list[int]]:
    """Indices of documents in groups that are encoded together: neighbours in length, so that little is padding.

    A group's rows times its longest document are at most `max_tokens`, or it is one document.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if group and (len(group) == max_rows or (len(group) + 1) * lengths[index] > max_tokens):
            yield group
            group = []
        group.append(index)
    if group:
        yield group
