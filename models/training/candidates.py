"""Candidates: what a policy wrote for each prompt, what that is worth, and how likely it was. One JSON line a prompt.

The file is the expensive part of preference optimisation, so it is written as it comes: a run that was cut short
goes on after the last whole chunk. Knows nothing of pairs or of the loss.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from qdts.errors import ConfigError
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.training.policy import collate_walks, summary_log_probs
from qdts.models.training.preference_rows import PreferenceRow
from qdts.models.training.reward import Rewarded, RewardScore
from qdts.models.training.sampling import Sample, Sampler, SamplingConfig, evaluating

# Written first: what the file was made with.
_ABOUT = "about"


class Rewarder(Protocol):
    """What judges summaries: `reward.Reward`."""

    def score_many(self, items: Sequence[Rewarded], summaries: Sequence[Sequence[str]]) -> list[RewardScore]:
        """One score in [0, 1] for each summary of its item."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One summary: its ids, how many draws it was, its log-probability under the net that wrote it, its reward."""

    tokens: tuple[int, ...]
    num_words: int
    num_draws: int
    log_prob: float
    reward: float
    # What the reward is made of (reward.py)
    parts: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """All different summaries of one row, the greedy one first (its draws count 0 unless it was also drawn)."""

    key: str
    candidates: tuple[Candidate, ...]

    @property
    def greedy(self) -> Candidate:
        """What serving would answer."""
        return self.candidates[0]

    @property
    def mean_reward(self) -> float:
        """Of the draws: what the policy earns on average."""
        num_draws = sum(candidate.num_draws for candidate in self.candidates)
        return sum(candidate.num_draws * candidate.reward for candidate in self.candidates) / num_draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposer:
    """Writes and judges candidates. `seed` and `indexed_share` decide each row's mode and draws, row by row."""

    net: T5
    builder: PromptBuilder
    rewarder: Rewarder
    sampling: SamplingConfig
    trims: bool
    max_words: int
    indexed_share: float
    seed: int
    # The precision of the training that follows, so that its first step finds the policy where it was sampled.
    bf16: bool = False

    def prompt(self, row: PreferenceRow) -> Prompt:
        """The row's prompt in its mode."""
        return row.prompt(self.builder, row.mode(self.indexed_share, self.seed), self.max_words)

    def propose(self, rows: Sequence[PreferenceRow]) -> list[Candidates]:
        """One batch of rows."""
        prompts = [self.prompt(row) for row in rows]
        seeds = [row.chance("draw", self.seed) for row in rows]
        with self._autocast():
            sampler = Sampler(self.net, trims=self.trims)
            samples = sampler.sample(prompts, seeds, self.sampling, with_greedy=True)
            log_probs = self._log_probs(prompts, samples)
        rewards = self._rewards(rows, samples)
        judged = zip(samples, log_probs, rewards, strict=True)
        return [
            Candidates(key=row.key, candidates=_candidates(*found)) for row, found in zip(rows, judged, strict=True)
        ]

    def _autocast(self) -> AbstractContextManager[Any]:
        kind = self.net.shared.weight.device.type
        return torch.autocast(kind, torch.bfloat16) if self.bf16 else nullcontext()

    def _log_probs(self, prompts: Sequence[Prompt], samples: Sequence[Sequence[Sample]]) -> list[list[float]]:
        """By the code that trains, not by the cached steps that sampled: the two round differently."""
        walks = [[sample.walk for sample in group] for group in samples]
        with evaluating(self.net):
            flat = iter(summary_log_probs(self.net, collate_walks(prompts, walks)).tolist())
        return [list(islice(flat, len(group))) for group in samples]

    def _rewards(self, rows: Sequence[PreferenceRow], samples: Sequence[Sequence[Sample]]) -> list[list[RewardScore]]:
        items = [row.item for row, group in zip(rows, samples, strict=True) for _ in group]
        scores = iter(self.rewarder.score_many(items, [sample.sentences for group in samples for sample in group]))
        return [list(islice(scores, len(group))) for group in samples]


def _candidates(
    samples: Sequence[Sample], log_probs: Sequence[float], rewards: Sequence[RewardScore]
) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            tokens=tuple(sample.tokens),
            num_words=sum(len(sentence.split()) for sentence in sample.sentences),
            num_draws=sum(draw >= 0 for draw in sample.draws),
            log_prob=log_prob,
            reward=reward.total,
            parts={name: round(value, 4) for name, value in reward.parts.items()},
        )
        for sample, log_prob, reward in zip(samples, log_probs, rewards, strict=True)
    )


def write_candidates(
    path: Path, rows: Iterable[PreferenceRow], proposer: Proposer, *, about: Mapping[str, Any], chunk: int
) -> int:
    """Candidates of every row, `chunk` rows at a time; returns how many rows there are.

    Rows that an earlier run has done are not done again. ConfigError where the file was made with another `about`.
    """
    num_done = _resume(path, about, chunk)
    num_rows = num_done
    with path.open("a", encoding="utf-8") as file, tqdm(initial=num_done, unit="prompt", desc="sampling") as progress:
        for group in chunked(islice(rows, num_done, None), chunk):
            lines = [json.dumps(asdict(candidates)) for candidates in proposer.propose(group)]
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            num_rows += len(lines)
            progress.update(len(lines))
    return num_rows


def chunked(rows: Iterable[PreferenceRow], size: int) -> Iterator[list[PreferenceRow]]:
    """The rows in lists of `size`, the last of them perhaps shorter."""
    source = iter(rows)
    while group := list(islice(source, size)):
        yield group


def _resume(path: Path, about: Mapping[str, Any], chunk: int) -> int:
    """Cut the file back to whole chunks, or begin it; returns the rows it holds."""
    header = json.dumps({_ABOUT: dict(about)}, sort_keys=True)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = text.split("\n")[:-1]
    if lines and lines[0] != header:
        raise ConfigError(f"{path} was made with other settings, or from other weights: {lines[0]}; remove it")
    # Whole chunks, so that batches are made of the same rows again and round alike.
    num_done = (len(lines) - 1) // chunk * chunk if lines else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in [header, *lines[1 : 1 + num_done]]), encoding="utf-8")
    partial.rename(path)
    return num_done


def read_candidates(path: Path) -> Iterator[Candidates]:
    """What `write_candidates` wrote, one row at a time."""
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            fields = json.loads(line)
            found = [Candidate(**{**one, "tokens": tuple(one["tokens"])}) for one in fields["candidates"]]
            yield Candidates(key=fields["key"], candidates=tuple(found))
