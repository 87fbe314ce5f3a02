"""What the trials read: a tokenizer and lexicon per vocabulary, training examples, held-out prompts. Made once, kept.

Training rows are those of `models/training/data/`: nothing held out, nothing that touches an evaluation row.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from qdts.errors import ConfigError
from qdts.loadtest.ablation.variants import Variant
from qdts.models.document import Document
from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.models.evaluation.splits import evaluation_ids, limit_ids, load_rows
from qdts.models.evaluation.systems import document_of
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import PromptBuilder, PromptConfig
from qdts.models.tokenizer import FIRST_MARKER, NUM_MARKERS, Tokenizer
from qdts.models.training.data.config import PrepareConfig
from qdts.models.training.data.prepare import prepare
from qdts.models.training.examples import make_example
from qdts.models.training.stages import LexiconConfig, TokenizerConfig, run_lexicon, run_tokenizer

_MAX_WORDS = 64  # what make_example builds its prompts for


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where rows come from. `evaluation` is the directory of the public sets; None: the sample that ships.

    `vocabularies` are model directories (tokenizer.json, lexicon.safetensors) that exist, by vocabulary size; what is
    missing is made from a share of `corpus`.
    """

    out: Path
    # Everything `prepare` takes but `model`, `out` and `prompt`, which are set for each data set.
    rows: PrepareConfig
    vocabularies: tuple[tuple[int, Path], ...] = ()
    corpus: tuple[Path, ...] = ()
    corpus_share: float = 0.02
    evaluation: Path | None = None
    rows_per_set: int = 40
    max_input_tokens: int = 256

    def __post_init__(self) -> None:
        if self.rows_per_set < 1:
            raise ConfigError(f"rows_per_set must be at least 1, is {self.rows_per_set}")
        if not 0 < self.corpus_share <= 1:
            raise ConfigError(f"corpus_share must lie in (0, 1], is {self.corpus_share}")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An evaluation row, and where its right first sentence begins; None where no sentence is."""

    row: EvalRow
    first: int | None


class AblationData:
    """Makes what a variant needs, unless it lies there from before."""

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self._builders = lru_cache(self._load_builder)
        self._held_out = lru_cache(self._find_held_out)

    def lexicon(self, variant: Variant) -> Lexicon:
        """The lexicon of the variant's vocabulary."""
        return Lexicon.load(self._vocabulary(variant.vocab_size) / "lexicon.safetensors")

    def builder(self, variant: Variant) -> PromptBuilder:
        """Prompts with the variant's vocabulary and hints."""
        return self._builders(variant.vocab_size, variant.num_hints)

    def examples(self, variant: Variant) -> Path:
        """The directory of the training examples."""
        name = f"examples-{variant.vocab_size}-{variant.num_hints}"
        directory, partial = self._config.out / name, self._config.out / f"{name}.partial"
        if not directory.is_dir():
            model = self._vocabulary(variant.vocab_size)
            prompt = self._prompt(variant.num_hints)
            prepare(replace(self._config.rows, model=model, out=partial, prompt=prompt))
            partial.rename(directory)
        return directory

    def held_out(self, variant: Variant) -> list[HeldOut]:
        """The held-out rows; the right first sentence depends on the vocabulary by what fits in the prompt."""
        return self._held_out(variant.vocab_size)

    def _vocabulary(self, size: int) -> Path:
        for known, directory in self._config.vocabularies:
            if known == size:
                return directory
        directory = self._config.out / f"vocabulary-{size}"
        if not (directory / "lexicon.safetensors").is_file():
            if not self._config.corpus:
                raise ConfigError(f"corpus must name files to make a vocabulary of {size} from")
            share = self._config.corpus_share
            run_tokenizer(TokenizerConfig(corpus=self._config.corpus, out=directory, share=share, vocab_size=size))
            run_lexicon(LexiconConfig(corpus=self._config.corpus, model=directory, share=share / 4))
        return directory

    def _load_builder(self, vocab_size: int, num_hints: int) -> PromptBuilder:
        directory = self._vocabulary(vocab_size)
        tokenizer = Tokenizer.load(directory / "tokenizer.json")
        lexicon = Lexicon.load(directory / "lexicon.safetensors")
        return PromptBuilder(tokenizer, lexicon, self._prompt(num_hints))

    def _prompt(self, num_hints: int) -> PromptConfig:
        return PromptConfig(max_input_tokens=self._config.max_input_tokens, num_hints=num_hints)

    def _find_held_out(self, vocab_size: int) -> list[HeldOut]:
        builder = self._builders(vocab_size, 3)
        return [HeldOut(row, _first_sentence(builder, row)) for row in load_held_out(self._config)]


def load_held_out(config: DataConfig) -> list[EvalRow]:
    """At most `rows_per_set` rows of each evaluation set."""
    if config.evaluation is not None:
        return load_rows(config.evaluation, limit_ids(evaluation_ids(), config.rows_per_set))
    grouped: dict[str, list[EvalRow]] = {}
    for row in load_row_file():
        grouped.setdefault(row.set, []).append(row)
    return [row for rows in grouped.values() for row in rows[: config.rows_per_set]]


def hint_shares(data: AblationData, variant: Variant) -> dict[str, float]:
    """How often the first hint, and any hint, names the right first sentence: what a net gets from its ranker.

    Means of the sets' means over the rows that have a right one.
    """
    found: dict[str, list[tuple[bool, bool]]] = {}
    for item in data.held_out(variant):
        if item.first is not None:
            hinted = _hinted(data.builder(variant), item.row)
            found.setdefault(item.row.set, []).append((item.first in hinted[:1], item.first in hinted))
    first, among = (fmean(fmean(pair[which] for pair in pairs) for pairs in found.values()) for which in (0, 1))
    return {"first": first, "any": among}


def _hinted(builder: PromptBuilder, row: EvalRow) -> list[int]:
    """Where the hinted sentences begin, best first."""
    prompt = builder.build(row.query, document_of(row), max_words=_MAX_WORDS)
    markers = [token for token in prompt.prefix.tolist() if FIRST_MARKER <= token < FIRST_MARKER + NUM_MARKERS]
    return [prompt.sentences[token - FIRST_MARKER].span.start for token in markers]


def _first_sentence(builder: PromptBuilder, row: EvalRow) -> int | None:
    """Where the first sentence of the target that training would have made begins."""
    document: Document = document_of(row)
    example = make_example(builder, row.query, document, row.references[0])
    if example is None:
        return None
    prompt = builder.build(row.query, document, max_words=_MAX_WORDS)
    return prompt.sentences[int(example.target[0]) - FIRST_MARKER].span.start
