"""Candidates are what the policy wrote, judged, on disk; a run that was cut short writes the same file."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from qdts.errors import ConfigError
from qdts.models.copy_source import copy_state
from qdts.models.evaluation.samples import SAMPLE_V1
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.prompt import PromptBuilder
from qdts.models.training.candidates import Candidate, Candidates, Proposer, read_candidates, write_candidates
from qdts.models.training.policy import collate_walks, summary_log_probs, walk
from qdts.models.training.preference_rows import PreferenceRow, PreferenceRows
from qdts.models.training.reward import Rewarded, RewardScore
from qdts.models.training.sampling import Sampler, SamplingConfig

ABOUT = {"seed": 7}


class Brevity:
    """The fewer words the better. `limit` is how many summaries it judges before it dies."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.left = limit

    def score_many(self, items: Sequence[Rewarded], summaries: Sequence[Sequence[str]]) -> list[RewardScore]:
        self.left -= len(items)
        if self.left < 0:
            raise KeyboardInterrupt
        assert all(text in " ".join(i.document.split()) for i, s in zip(items, summaries, strict=True) for text in s)
        totals = [1 / (1 + len(" ".join(summary).split())) for summary in summaries]
        return [RewardScore(total=total, parts={"brevity": total}) for total in totals]


@pytest.fixture(scope="module")
def rows() -> list[PreferenceRow]:
    """Short ones: the tokenizer here makes many tokens of few words."""
    found = islice(PreferenceRows((SAMPLE_V1,), held_out=0.0, seed=0).training(), 0, None, 18)
    return [replace(row, item=replace(row.item, document=row.item.document[:400])) for row in found]


@pytest.fixture(scope="module")
def proposer(make_net: Callable[..., T5], builder: PromptBuilder) -> Proposer:
    return Proposer(
        net=make_net(vocab_size=600, num_features=NUM_FEATURES),
        builder=builder,
        rewarder=Brevity(),
        sampling=SamplingConfig(num_samples=4),
        trims=True,
        max_words=30,
        indexed_share=0.5,
        seed=7,
    )


@pytest.fixture(scope="module")
def proposed(proposer: Proposer, rows: list[PreferenceRow]) -> list[Candidates]:
    return proposer.propose(rows)


def test_the_greedy_summary_is_first_and_draws_are_counted(
    proposer: Proposer, rows: list[PreferenceRow], proposed: list[Candidates]
) -> None:
    prompts = [proposer.prompt(row) for row in rows]
    greedy = Sampler(proposer.net, trims=True).greedy(prompts)
    assert [list(group.greedy.tokens) for group in proposed] == [sample.tokens for sample in greedy]
    assert [group.key for group in proposed] == [row.key for row in rows]
    for group in proposed:
        assert sum(candidate.num_draws for candidate in group.candidates) == 4
        assert all(candidate.num_draws > 0 for candidate in group.candidates[1:])
        assert all(c.reward == pytest.approx(1 / (1 + c.num_words)) for c in group.candidates)


def test_log_probs_are_those_of_the_prompt_in_its_mode(
    proposer: Proposer, rows: list[PreferenceRow], proposed: list[Candidates]
) -> None:
    modes = {row.mode(0.5, 7) for row in rows}
    assert modes == {"joint", "indexed"}
    for row, group in zip(rows, proposed, strict=True):
        prompt = row.prompt(proposer.builder, row.mode(0.5, 7), 30)
        state = copy_state(prompt, trims=True)
        with torch.no_grad():
            expected = summary_log_probs(
                proposer.net, collate_walks([prompt], [[walk(state, c.tokens) for c in group.candidates]])
            )
        assert [c.log_prob for c in group.candidates] == pytest.approx(expected.tolist(), abs=1e-5)


def test_mean_reward_is_over_the_draws() -> None:
    def one(num_draws: int, reward: float) -> Candidate:
        return Candidate(tokens=(1,), num_words=0, num_draws=num_draws, log_prob=0.0, reward=reward)

    group = Candidates(key="k", candidates=(one(0, 1.0), one(3, 0.2), one(1, 0.6)))
    assert group.mean_reward == pytest.approx(0.3)


def write(path: Path, rows: Iterable[PreferenceRow], proposer: Proposer) -> int:
    return write_candidates(path, rows, proposer, about=ABOUT, chunk=2)


def test_written_and_read(
    tmp_path: Path, proposer: Proposer, rows: list[PreferenceRow], proposed: list[Candidates]
) -> None:
    path = tmp_path / "new" / "samples.jsonl"
    assert write(path, iter(rows), proposer) == len(rows)
    found = list(read_candidates(path))
    assert [[c.tokens for c in group.candidates] for group in found] == [
        [c.tokens for c in group.candidates] for group in proposed
    ]
    assert found[0].greedy.parts == pytest.approx(proposed[0].greedy.parts)


def test_a_run_that_was_cut_short_goes_on_to_the_same_file(
    tmp_path: Path, proposer: Proposer, rows: list[PreferenceRow]
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    write(whole, rows, proposer)
    with pytest.raises(KeyboardInterrupt):
        write(cut, rows, replace(proposer, rewarder=Brevity(limit=20)))
    assert 1 < len(cut.read_text().splitlines()) < len(whole.read_text().splitlines())
    with cut.open("a") as file:
        file.write('{"key": "half a li')
    write(cut, rows, proposer)
    assert cut.read_text() == whole.read_text()
    # The last chunk may be short, so it is made again; all the others are kept.
    write(cut, rows, replace(proposer, rewarder=Brevity(limit=10)))
    assert cut.read_text() == whole.read_text()


def test_samples_of_other_settings_are_refused(tmp_path: Path, proposer: Proposer) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps({"about": {"seed": 8}}) + "\n")
    with pytest.raises(ConfigError, match=r"samples.jsonl was made with other settings.*\"seed\": 8"):
        write(path, [], proposer)
