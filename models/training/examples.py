"""Training examples: a query, a document and the span that answers it, as ids.

Knows the prompt layout and the copy constraint's grammar, so that what is trained is what is decoded.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdts.models.copy_source import copy_sentences
from qdts.models.decoding.copying import CopySentence
from qdts.models.document import Document, Span
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.text.words import content_stems
from qdts.models.tokenizer import END, NONE

# A sentence counts as part of the reference if this share of it is.
_MIN_SHARE = 0.15
# An abstractive reference is worth quoting for only above this overlap.
_MIN_OVERLAP = 0.3
_MAX_PIECES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example. `features` (S, F) beside `encoder_ids` (S,); `head_len` tokens hold the query.

    `weight` is how much it counts beside others, such as a teacher's confidence.
    """

    encoder_ids: npt.NDArray[np.uint16]
    features: npt.NDArray[np.float16]
    head_len: int
    prefix: npt.NDArray[np.uint16]
    target: npt.NDArray[np.uint16]
    weight: float = 1.0


def make_example(builder: PromptBuilder, query: str, document: Document, reference: str) -> Example | None:
    """The example for one row; None where the document does not hold the reference."""
    prompt = builder.build(query, document, max_words=64)
    sentences = copy_sentences(prompt.sentences)
    span = find_span(prompt.text, reference)
    if span is not None:
        target = _extractive_target(prompt, sentences, span)
    else:
        target = _overlap_target(prompt, sentences, reference)
    return None if target is None or len(target) > 160 else _example(prompt, target)


def make_unanswered(builder: PromptBuilder, query: str, document: Document) -> Example:
    """The example for a document that does not answer the query: its target is NONE.

    The copy constraint does not allow NONE, so a summary never says it; training may still learn to.
    """
    return _example(builder.build(query, document, max_words=64), [NONE, END])


def _example(prompt: Prompt, target: Sequence[int]) -> Example:
    return Example(
        encoder_ids=prompt.encoder_ids.astype(np.uint16),
        features=prompt.features.astype(np.float16),
        head_len=_query_len(prompt),
        prefix=prompt.prefix.astype(np.uint16),
        target=np.array(target, np.uint16),
    )


def _query_len(prompt: Prompt) -> int:
    """Tokens at the head of the joint input that indexed mode leaves out: <q> and the query."""
    return len(prompt.query_ids)


def find_span(text: str, quoted: str) -> Span | None:
    """Where `quoted` stands in `text`, white space aside."""
    squeezed, places = _squeeze(text)
    wanted, _ = _squeeze(quoted)
    at = squeezed.find(wanted) if wanted else -1
    return None if at < 0 else Span(places[at], places[at + len(wanted) - 1] + 1)


def _squeeze(text: str) -> tuple[str, list[int]]:
    places = [i for i, char in enumerate(text) if not char.isspace()]
    return "".join(text[i] for i in places), places


def _extractive_target(prompt: Prompt, sentences: Sequence[CopySentence], span: Span) -> list[int] | None:
    """The pieces around the span; None where the prompt leaves it out."""
    target: list[int] = []
    for source, sentence in zip(prompt.sentences, sentences, strict=True):
        overlap = min(span.end, source.span.end) - max(span.start, source.span.start)
        if overlap <= 0 or (target and overlap < _MIN_SHARE * len(source.span)):
            continue
        inside = np.flatnonzero((source.starts >= span.start) & (source.ends <= span.end))
        if len(inside):
            target += _piece(sentence, int(inside[0]), int(inside[-1]) + 1)
    return [*target, END] if target else None


def _piece(sentence: CopySentence, first: int, end: int) -> list[int]:
    """Marker and tokens of the smallest piece the grammar allows around tokens [first, end)."""
    begin = max(t for t in sentence.begins() if t <= first)
    while end < len(sentence.ids) and not sentence.may_end(begin, end):
        end += 1
    return [sentence.marker, *sentence.ids[begin:end].tolist()]


def _overlap_target(prompt: Prompt, sentences: Sequence[CopySentence], reference: str) -> list[int] | None:
    """The sentences that together overlap an abstractive reference best, found greedily by unigram F1."""
    wanted = Counter(content_stems(reference))
    empty: Counter[str] = Counter()
    bags = [Counter(content_stems(source.span.of(prompt.text))) for source in prompt.sentences]
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < _MAX_PIECES:
        others = [i for i in range(len(bags)) if i not in chosen]
        scores = {i: _f1(sum((bags[j] for j in [*chosen, i]), empty), wanted) for i in others}
        if not scores or max(scores.values()) < best + 0.03:
            break
        chosen.append(max(scores, key=lambda i: scores[i]))
        best = scores[chosen[-1]]
    if best < _MIN_OVERLAP:
        return None
    return [token for i in sorted(chosen) for token in (sentences[i].marker, *sentences[i].ids.tolist())] + [END]


def _f1(bag: Counter[str], wanted: Counter[str]) -> float:
    common = (bag & wanted).total()
    return 2 * common / max(1, bag.total() + wanted.total())
