"""Preference optimisation from end to end: sample, judge, pair, train, round by round; then measure what it brought.

Everything on the way is on disk: a run that was cut short goes on where it was. Knows the stages' order, nothing of
their insides.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from qdts.errors import ConfigError
from qdts.models.checkpoint import load
from qdts.models.evaluation.semantic import MiniLm
from qdts.models.lexicon import Lexicon
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Prompt, PromptBuilder, PromptConfig
from qdts.models.settings import Copying, ModelSettings
from qdts.models.tokenizer import Tokenizer
from qdts.models.training.candidates import Candidates, Proposer, Rewarder, read_candidates, write_candidates
from qdts.models.training.config import LoopConfig, check_at_least, check_shares
from qdts.models.training.device import find_device, uses_bf16
from qdts.models.training.dpo import PreferenceConfig, PreferenceTask
from qdts.models.training.dpo_report import round_report, write_report
from qdts.models.training.held_out import compare, measure
from qdts.models.training.pairs import PairConfig, PairSet, write_pairs
from qdts.models.training.preference_rows import PreferenceRow, PreferenceRows
from qdts.models.training.reward import Reward, RewardConfig
from qdts.models.training.run import train
from qdts.models.training.sampling import SamplingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoConfig:
    """Which model prefers what, on which rows. Writes model/, dpo.json and dpo.png in `loop.out`, round by round.

    `loop.num_steps` are the steps of one round; each round samples anew from, and refers to, the last round's model.
    """

    # A model directory: tokenizer and lexicon, too, are taken from here.
    start_from: Path
    # JSONL: query, doc, summary; title and answers where known
    data: tuple[Path, ...]
    loop: LoopConfig
    rounds: int = 1
    # The share of documents kept for measuring; at most `max_held_out` rows of them are measured.
    held_out: float = 0.1
    max_held_out: int = 200
    max_prompts: int = 20_000
    # The directory of the evaluation data, to keep what touches it out; None where there is nothing to keep out.
    evaluation: Path | None = None
    # Only rows whose documents `prepare` holds out: those that supervised stages have read, the net knows by heart, and
    # what it writes for them is no longer what it would write. Of sets that are evaluated few are left.
    unread: bool = False
    # The share of rows whose encoder input leaves the query out (indexed mode).
    indexed_share: float = 0.25
    max_words: int = 50
    prompts_per_batch: int = 8
    # May pieces begin and end at clause marks? What is chosen here becomes the trained model's setting.
    trims: Literal["as_model", "on", "off"] = "as_model"
    # Cosines by all-MiniLM-L6-v2 as parts of the reward
    semantic: bool = False
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("data must name at least one file")
        check_at_least(self, 1, ("rounds", "max_held_out", "max_prompts", "max_words", "prompts_per_batch"))
        check_shares(self, ("indexed_share",))
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"held_out must lie in (0, 1), is {self.held_out}")
        if self.sampling.num_samples < 2:
            raise ValueError(f"sampling.num_samples must be at least 2 to make pairs, is {self.sampling.num_samples}")


def run_dpo(config: DpoConfig) -> None:
    """All rounds, then the report; returns early, to be run again, where `loop.max_minutes` ended a round."""
    torch.set_num_threads(config.loop.num_threads)
    run = _Run(config)
    start, rounds = config.start_from, list[dict[str, Any]]()
    for number in range(1, config.rounds + 1):
        directory = config.loop.out / f"round-{number}"
        if not run.train_round(start, directory, config.loop.seed + number - 1):
            return
        rounds.append(round_report(directory))
        start = directory / "model"
    model = config.loop.out / "model"
    shutil.copytree(start, model, dirs_exist_ok=True)
    write_report(config.loop.out, rounds=rounds, held_out=run.measure(model))


class _Run:
    """What all rounds share."""

    def __init__(self, config: DpoConfig) -> None:
        self.config = config
        self.trims = _trims(config)
        self._device = find_device(config.loop.device)
        self._builder = PromptBuilder(
            Tokenizer.load(config.start_from / "tokenizer.json"),
            Lexicon.load(config.start_from / "lexicon.safetensors"),
            PromptConfig(),
        )
        self._rewarder: Rewarder = Reward(config.reward, MiniLm() if config.semantic else None)
        self._rows = PreferenceRows(
            config.data,
            held_out=config.held_out,
            seed=config.loop.seed,
            evaluation=config.evaluation,
            unread=config.unread,
        )

    def train_round(self, start: Path, directory: Path, seed: int) -> bool:
        """Sample from `start`, train it; False where the time was up before the last step."""
        pairs = self._pairs(start, directory, seed)
        task = PreferenceTask(pairs, replace(self.config.preference, seed=seed))
        finished = train(self._load(start), task, replace(self.config.loop, out=directory, seed=seed), start)
        if finished:
            ModelSettings(copying=Copying(trims=self.trims)).save(directory / "model")
        return finished

    def _pairs(self, start: Path, directory: Path, seed: int) -> PairSet:
        """The round's pairs, made unless they are there."""
        about = self._about(start, seed)
        with_pairs = about | {"pairs": asdict(self.config.pairs)}
        if not (directory / "pairs").is_dir():
            proposer = self._proposer(self._load(start), seed)
            samples = directory / "samples.jsonl"
            write_candidates(samples, self._training(), proposer, about=about, chunk=self.config.prompts_per_batch)
            found = self._prompts(proposer, samples)
            write_pairs(directory / "pairs", found, self.config.pairs, trims=self.trims, seed=seed, about=with_pairs)
        pairs = PairSet(directory / "pairs")
        if pairs.about != with_pairs:
            raise ConfigError(f"{directory} was begun with other settings, or from other weights: remove it")
        if not len(pairs):
            raise ConfigError(f"{directory}: no prompt has two candidates {self.config.pairs.min_gap} apart (min_gap)")
        return pairs

    def _prompts(self, proposer: Proposer, samples: Path) -> Iterator[tuple[Prompt, Candidates]]:
        for row, candidates in zip(self._training(), read_candidates(samples), strict=True):
            assert row.key == candidates.key, "samples are in the order of the rows"
            yield proposer.prompt(row), candidates

    def _training(self) -> Iterator[PreferenceRow]:
        return islice(self._rows.training(), self.config.max_prompts)

    def measure(self, model: Path) -> dict[str, Any]:
        """What the training brought on the held-out rows."""
        rows = list(islice(self._rows.measuring(), self.config.max_held_out))
        if not rows:
            raise ConfigError(f"held_out: no row is left to measure on with a share of {self.config.held_out}")
        # As served: the whole policy, as it is.
        sampling = replace(self.config.sampling, temperature=1.0, top_p=1.0)
        old, new = (
            replace(self._proposer(self._load(path), self.config.loop.seed), sampling=sampling)
            for path in (self.config.start_from, model)
        )
        chunk = self.config.prompts_per_batch
        return compare(measure(old, rows, chunk), measure(new, rows, chunk, reference=old.net))

    def _proposer(self, net: T5, seed: int) -> Proposer:
        return Proposer(
            net=net,
            builder=self._builder,
            rewarder=self._rewarder,
            sampling=self.config.sampling,
            trims=self.trims,
            max_words=self.config.max_words,
            indexed_share=self.config.indexed_share,
            seed=seed,
            bf16=uses_bf16(self.config.loop.precision, self._device),
        )

    def _load(self, directory: Path) -> T5:
        return load(directory).to(self._device)

    def _about(self, start: Path, seed: int) -> dict[str, Any]:
        """All that decides what is sampled, as JSON has it."""
        config = self.config
        names = ("held_out", "max_prompts", "indexed_share", "max_words", "prompts_per_batch", "semantic")
        return {
            "weights": _digest(start),
            "data": [str(path) for path in config.data],
            "evaluation": config.evaluation and str(config.evaluation),
            "sampling": asdict(config.sampling),
            "reward": asdict(config.reward),
            "trims": self.trims,
            "seed": seed,
            **{name: getattr(config, name) for name in names},
        }


def _trims(config: DpoConfig) -> bool:
    if config.trims == "as_model":
        return ModelSettings.load(config.start_from).copying.trims
    return config.trims == "on"


def _digest(directory: Path) -> str:
    """Of a model directory's weights."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
