"""Comparing two policies on numbers worked out by hand; a policy has not moved away from itself."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest
import torch

from qdts.models.evaluation.samples import SAMPLE_V1
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.prompt import PromptBuilder
from qdts.models.training.candidates import Candidate, Candidates, Proposer
from qdts.models.training.held_out import Measured, compare, measure
from qdts.models.training.preference_rows import PreferenceRow, PreferenceRows
from qdts.models.training.reward import Reward, RewardConfig
from qdts.models.training.sampling import SamplingConfig


def measured(*rewards: tuple[float, float], divergences: tuple[float, ...] = ()) -> Measured:
    """Rows of a greedy reward and the reward of three of four draws."""
    found: list[Candidates] = []
    for index, (greedy, sampled) in enumerate(rewards):
        candidates = tuple(
            Candidate(tokens=(round(100 * reward), 1), num_words=8 + place, num_draws=draws, log_prob=-1, reward=reward)
            for place, (reward, draws) in enumerate(((greedy, 1), (sampled, 3)))
        )
        first = replace(candidates[0], parts={"answer": greedy} if index else {})
        found.append(Candidates(key=str(index), candidates=(first, candidates[1])))
    return Measured(found=tuple(found), divergences=divergences)


def test_two_policies_compared_by_hand() -> None:
    old = measured((0.5, 0.1), (0.4, 0.4), (0.8, 0.4), (0.6, 0.6))
    new = measured((0.7, 0.5), (0.4, 0.4), (0.6, 0.6), (0.9, 0.9), divergences=(0.1, 0.2, 0.3, 0.8))
    report = compare(old, new)
    assert report["num_prompts"] == 4
    assert report["win_rate"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert report["changed"] == pytest.approx(3 / 4)
    assert report["reward_before"]["mean"] == pytest.approx(0.575)
    assert report["reward_after"]["mean"] == pytest.approx(0.65)
    assert report["reward_gain"]["mean"] == pytest.approx(0.075)
    assert report["reward_gain"]["low"] < 0.075 < report["reward_gain"]["high"]
    assert report["sampled_reward_before"]["mean"] == pytest.approx((0.2 + 0.4 + 0.5 + 0.6) / 4)
    assert report["sampled_reward_gain"]["mean"] == pytest.approx((0.35 + 0 + 0.1 + 0.3) / 4)
    assert report["kl"] == pytest.approx(0.35)
    assert report["words_before"] == 8
    assert report["parts_after"] == {"answer": pytest.approx((0.4 + 0.6 + 0.9) / 3)}, "only where it applies"


def test_without_a_reference_there_is_no_kl() -> None:
    assert compare(measured((0.5, 0.5)), measured((0.5, 0.5)))["kl"] is None


@pytest.fixture(scope="module")
def rows() -> list[PreferenceRow]:
    found = islice(PreferenceRows((SAMPLE_V1,), held_out=0.0, seed=0).training(), 0, None, 30)
    return [replace(row, item=replace(row.item, document=row.item.document[:400])) for row in found]


def test_a_policy_has_moved_from_others_and_not_from_itself(
    make_net: Callable[..., T5], builder: PromptBuilder, rows: list[PreferenceRow]
) -> None:
    net, other = (make_net(vocab_size=600, num_features=NUM_FEATURES) for _ in range(2))
    with torch.no_grad():
        other.shared.weight.mul_(1.2)
    proposer = Proposer(
        net=net,
        builder=builder,
        rewarder=Reward(RewardConfig()),
        sampling=SamplingConfig(num_samples=4),
        trims=True,
        max_words=30,
        indexed_share=0.5,
        seed=0,
    )
    same = measure(proposer, rows, 2, reference=net)
    moved = measure(proposer, rows, 2, reference=other)
    assert same.divergences == pytest.approx([0] * len(rows), abs=1e-5)
    assert all(divergence > 0 for divergence in moved.divergences)
    assert [g.key for g in moved.found] == [row.key for row in rows]
    report = compare(same, moved)
    assert report["win_rate"] == 0.5 and report["changed"] == 0 and report["kl"] > 0
    assert 0 < report["reward_after"]["mean"] < 1 and set(report["parts_after"]) >= {"answer", "length", "whole"}
