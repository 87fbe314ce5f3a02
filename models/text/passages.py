"""What of a long document the model gets to read: the lead, the best sentences, their neighbours."""

from collections.abc import Sequence

from qdts.models.document import Span

# English runs at about 4.3 code points a token here; short sentences pay for their marker.
_CHARS_PER_TOKEN = 4.0


def estimate_tokens(span: Span) -> int:
    """A guess at the tokens of a span, marker included, without tokenising it."""
    return 2 + int(len(span) / _CHARS_PER_TOKEN)


def select_passages(
    sentences: Sequence[Span], scores: Sequence[float], *, max_tokens: int, max_sentences: int
) -> list[int]:
    """Indices, in document order, of the sentences to read within both bounds; all of them if they fit.

    The first sentence says what a document is about, so it comes first; then the best-scoring ones,
    each with the sentence before and after it, which pronouns lean on.
    """
    costs = [estimate_tokens(span) for span in sentences]
    if len(sentences) <= max_sentences and sum(costs) <= max_tokens:
        return list(range(len(sentences)))
    chosen: set[int] = set()
    left = max_tokens
    for index in _by_interest(scores):
        if len(chosen) == max_sentences:
            break
        if index not in chosen and (costs[index] <= left or not chosen):
            chosen.add(index)
            left -= costs[index]
    return sorted(chosen)


def _by_interest(scores: Sequence[float]) -> list[int]:
    """Every index at least once: the lead, then each sentence by score followed by its neighbours."""
    order = [0]
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        order += [index, *(near for near in (index + 1, index - 1) if 0 <= near < len(scores))]
    return order
