"""The teacher that needs no larger model: rankers propose sentences, the reward chooses among them.

Rankers are BM25, all-MiniLM-L6-v2 and, where a model directory of ours is given, that model. What they propose are the
best sentences and runs of neighbours, and what is as good as the best is beaten by what is shorter.

With a reference in the row this is hindsight: the reward knows what people wrote, and the clauses of the best
candidates compete, too. Without one it goes by closeness to the query, form, and the rankers themselves, and never
cuts a sentence: which clause answers is more than a ranker knows. Knows nothing of caches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from qdts.models.document import Document, Span
from qdts.models.evaluation.semantic import EMBEDDING_PACKAGE, Embedder
from qdts.models.summarizer import Summarizer
from qdts.models.text.bm25 import score_sentences
from qdts.models.text.extractive import quote
from qdts.models.text.sentences import split_sentences
from qdts.models.text.words import word_starts
from qdts.models.training.reward import Reward, RewardConfig
from qdts.models.training.teachers.base import TeacherOutput, TeacherRow
from qdts.models.training.teachers.candidates import clause_spans, neighbourhoods

Ranker = Literal["bm25", "minilm"]
_BM25 = "bm25"
_MINILM = "minilm"
_MODEL = "model"
# Our model is asked for so many rows at a time.
_MODEL_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinConfig:
    """`model` is a released model directory of ours that proposes, too; Path() for none."""

    rankers: tuple[Ranker, ...] = ("bm25", "minilm")
    # How many sentences each ranker proposes, and how many neighbours may be joined
    num_proposed: int = 5
    max_sentences: int = 2
    model: Path = Path()
    # Without a reference: how much the rankers' own scores count beside the reward.
    ranker_weight: float = 0.5
    # With a reference: of so many of the best candidates the clauses compete, so many of each row.
    num_trimmed: int = 3
    num_clauses: int = 12
    # What comes so close to the best is as good, and the shorter the better.
    tolerance: float = 0.01
    reward: RewardConfig = field(default_factory=RewardConfig)
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not self.rankers:
            raise ValueError("rankers must name at least one of bm25, minilm")
        for name, least in (
            ("num_proposed", 1),
            ("max_sentences", 1),
            ("num_trimmed", 0),
            ("num_clauses", 1),
            ("batch_size", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, is {getattr(self, name)}")
        for name in ("ranker_weight", "tolerance"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], is {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """One row's document, read: its N sentences, and by ranker how good each of them is, in [0, 1]."""

    row: TeacherRow
    sentences: Sequence[Span]
    scores: Mapping[str, Sequence[float]]

    @property
    def has_hindsight(self) -> bool:
        return bool(self.row.reference or self.row.answers)

    def ranked(self, ranker: str) -> list[int]:
        """The sentences' places, the best first, the earlier one on ties."""
        scores = self.scores[ranker]
        return sorted(range(len(scores)), key=lambda place: (-scores[place], place))

    def rank(self, spans: Sequence[Span]) -> float:
        """In [0, 1]: what the rankers think of the best sentence that `spans` touch, the mean of the rankers."""
        touched = [
            place
            for place, sentence in enumerate(self.sentences)
            if any(span.start < sentence.end and sentence.start < span.end for span in spans)
        ]
        best = [max((scores[place] for place in touched), default=0.0) for scores in self.scores.values()]
        return sum(best) / max(1, len(best))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """Spans of a document, their text, who proposed them, and how good they are, in [0, 1]."""

    spans: tuple[Span, ...]
    sentences: tuple[str, ...]
    source: str
    value: float = 0.0

    @property
    def num_words(self) -> int:
        return len(word_starts(" ".join(self.sentences)))


class BuiltinTeacher:
    """Rankers and a reward. `embedder` serves the ranker minilm and the reward's cosines; None leaves both out."""

    name = "builtin"

    def __init__(self, config: BuiltinConfig, embedder: Embedder | None, summarizer: Summarizer | None = None) -> None:
        if embedder is None and config.rankers == (_MINILM,):
            raise ValueError("rankers: minilm alone needs an embedder")
        self._config = config
        self._embedder = embedder
        self._summarizer = summarizer
        self._reward = Reward(config.reward, embedder)
        self._lexical = Reward(config.reward)
        self.batch_size = config.batch_size
        told: dict[str, object] = asdict(config)
        del told[_MODEL], told["batch_size"]
        self.settings: Mapping[str, object] = told | {
            "embedder": EMBEDDING_PACKAGE if embedder is not None else "",
            _MODEL: summarizer.version if summarizer is not None else "",
        }

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        """The best candidate of each row; no sentence for a blank document."""
        pages = self._read(rows)
        proposed = self._judge(pages, self._propose(pages))
        cut = self._judge(pages, [self._trim(page, found) for page, found in zip(pages, proposed, strict=True)])
        return [self._choose([*whole, *clauses]) for whole, clauses in zip(proposed, cut, strict=True)]

    def _read(self, rows: Sequence[TeacherRow]) -> list[_Page]:
        sentences = [split_sentences(row.document) for row in rows]
        cosines = self._cosines(rows, sentences)
        pages: list[_Page] = []
        for row, spans, close in zip(rows, sentences, cosines, strict=True):
            scores = {_BM25: score_sentences(row.query, row.document, spans), _MINILM: close}
            used = [name for name in self._config.rankers if scores[name] or not spans]
            pages.append(_Page(row=row, sentences=spans, scores={name: _scaled(scores[name]) for name in used}))
        return pages

    def _cosines(self, rows: Sequence[TeacherRow], sentences: Sequence[Sequence[Span]]) -> list[list[float]]:
        """Of each row's sentences with its query; [] without an embedder. One call of it for all rows."""
        if self._embedder is None or _MINILM not in self._config.rankers:
            return [[] for _ in rows]
        told = [[quote(span, row.document) for span in spans] for row, spans in zip(rows, sentences, strict=True)]
        texts = list(dict.fromkeys(text for row, known in zip(rows, told, strict=True) for text in (row.query, *known)))
        vectors = dict(zip(texts, self._embedder.embed(texts), strict=True)) if texts else {}
        return [
            [float(vectors[text] @ vectors[row.query]) for text in known] for row, known in zip(rows, told, strict=True)
        ]

    def _propose(self, pages: Sequence[_Page]) -> list[list[_Candidate]]:
        """What the rankers and the model propose for each row, without repeats."""
        by_model = self._ask_model(pages)
        proposed: list[list[_Candidate]] = []
        for page, spans in zip(pages, by_model, strict=True):
            found: dict[tuple[Span, ...], str] = {}
            for ranker in page.scores:
                best = page.ranked(ranker)[: self._config.num_proposed]
                for run in neighbourhoods(page.sentences, best, self._config.max_sentences):
                    found.setdefault((run,), ranker)
            if spans:
                found.setdefault(spans, _MODEL)
            proposed.append([_candidate(page.row.document, run, source) for run, source in found.items()])
        return proposed

    def _ask_model(self, pages: Sequence[_Page]) -> list[tuple[Span, ...]]:
        """What our model would answer; () without one, and for a blank document."""
        answers: list[tuple[Span, ...]] = [() for _ in pages]
        readable = [place for place, page in enumerate(pages) if page.sentences]
        for first in range(0, len(readable) if self._summarizer else 0, _MODEL_BATCH):
            places = readable[first : first + _MODEL_BATCH]
            for place, spans in zip(places, self._generate([pages[i].row for i in places]), strict=True):
                answers[place] = spans
        return answers

    def _generate(self, rows: Sequence[TeacherRow]) -> list[tuple[Span, ...]]:
        assert self._summarizer is not None
        words = self._config.reward.max_words
        documents = [Document(text=row.document, title=row.title) for row in rows]
        prompts = [
            self._summarizer.prepare(row.query, document, max_words=words)
            for row, document in zip(rows, documents, strict=True)
        ]
        generation = self._summarizer.start(prompts)
        while generation.active:
            generation.step()
        summaries = [generation.summary(index) for index in range(len(rows))]
        return [tuple(told.source for told in summary.sentences if told.source) for summary in summaries]

    def _judge(self, pages: Sequence[_Page], found: Sequence[Sequence[_Candidate]]) -> list[list[_Candidate]]:
        """The candidates with their values: the reward, which without a reference shares with the rankers."""
        pairs = [(page, candidate) for page, candidates in zip(pages, found, strict=True) for candidate in candidates]
        rewarded = {page.row: page.row.rewarded() for page in pages}
        items = [rewarded[page.row] for page, _ in pairs]
        scores = iter(self._reward.score_many(items, [candidate.sentences for _, candidate in pairs]))
        return [
            [replace(candidate, value=self._value(page, candidate, next(scores).total)) for candidate in candidates]
            for page, candidates in zip(pages, found, strict=True)
        ]

    def _value(self, page: _Page, candidate: _Candidate, reward: float) -> float:
        if page.has_hindsight:
            return reward
        weight = self._config.ranker_weight
        return (1 - weight) * reward + weight * page.rank(candidate.spans)

    def _trim(self, page: _Page, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """Clauses of those of the best candidates that are one sentence: the best by the reward without cosines.

        None without hindsight.
        """
        if not page.has_hindsight:
            return []
        best = sorted(candidates, key=lambda candidate: -candidate.value)[: self._config.num_trimmed]
        whole = [candidate for candidate in best if len(candidate.spans) == 1 and candidate.spans[0] in page.sentences]
        clauses = [
            _candidate(page.row.document, (piece,), f"{candidate.source}, clause")
            for candidate in whole
            for piece in clause_spans(page.row.document, candidate.spans[0])[1:]
        ]
        item = page.row.rewarded()
        scores = self._lexical.score_many([item] * len(clauses), [clause.sentences for clause in clauses])
        order = sorted(range(len(clauses)), key=lambda i: -scores[i].total)
        return [clauses[i] for i in order[: self._config.num_clauses]]

    def _choose(self, candidates: Sequence[_Candidate]) -> TeacherOutput:
        if not candidates:
            return TeacherOutput()
        best = max(candidate.value for candidate in candidates)
        good = [candidate for candidate in candidates if candidate.value >= best - self._config.tolerance]
        chosen = min(good, key=lambda candidate: (candidate.num_words, -candidate.value, candidate.spans))
        return TeacherOutput(
            sentences=chosen.sentences, confidence=min(1.0, chosen.value), provenance={"source": chosen.source}
        )


def _candidate(document: str, spans: tuple[Span, ...], source: str) -> _Candidate:
    return _Candidate(spans=spans, sentences=tuple(quote(span, document) for span in spans), source=source)


def _scaled(scores: Sequence[float]) -> list[float]:
    """To [0, 1] over the document: rankers differ in their scales. All 0 where all are alike."""
    low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)
    return [(score - low) / (high - low) if high > low else 0.0 for score in scores]
