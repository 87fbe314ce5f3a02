"""The loss on numbers worked out by hand; learning raises the chosen and lowers the rejected summary."""

import math
import random
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
import torch

from qdts.models.copy_source import copy_state
from qdts.models.document import Document
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.training.candidates import Candidate, Candidates
from qdts.models.training.dpo import (
    PreferenceConfig,
    PreferenceTask,
    collate_pairs,
    dpo_loss,
    preference_loss,
    preference_margins,
)
from qdts.models.training.pairs import PairConfig, PairSet, write_pairs
from qdts.models.training.policy import collate_walks, summary_log_probs, walk

QUERIES = ("Who drove the engine?", "when did the line close", "museum", "what is open to the public?")


def test_the_loss_on_paper() -> None:
    """Gains of 0.5 and -1.5 make a margin of 0.2 at beta 0.1; gains of -1 and 1 one of -0.2."""
    log_probs = torch.tensor([[-2.0, -5.0], [-4.0, -1.0]])
    reference = torch.tensor([[-2.5, -3.5], [-3.0, -2.0]])
    assert preference_margins(log_probs, reference, 0.1).tolist() == pytest.approx([0.2, -0.2])
    better, worse = math.log(1 + math.exp(-0.2)), math.log(1 + math.exp(0.2))
    assert dpo_loss(log_probs, reference, beta=0.1).tolist() == pytest.approx([better, worse])
    smoothed = dpo_loss(log_probs, reference, beta=0.1, label_smoothing=0.25)
    assert smoothed.tolist() == pytest.approx([0.75 * better + 0.25 * worse, 0.75 * worse + 0.25 * better])


def test_the_gradient_raises_the_chosen_and_lowers_the_rejected() -> None:
    """Equation 7's gradient: beta times the sigmoid of how wrong the implicit reward is."""
    log_probs = torch.tensor([[-2.0, -5.0], [-9.0, -1.0]], requires_grad=True)
    dpo_loss(log_probs, torch.tensor([[-2.5, -3.5], [-3.0, -2.0]]), beta=0.5).sum().backward()
    assert log_probs.grad is not None
    wrong = [0.5 / (1 + math.exp(margin)) for margin in (1.0, -3.5)]
    assert log_probs.grad.tolist() == [pytest.approx([-w, w]) for w in wrong]
    assert wrong[1] > wrong[0], "the pair in the wrong order weighs more"


@pytest.fixture(scope="module")
def net(make_net: Callable[..., T5]) -> T5:
    return make_net(vocab_size=600, num_features=NUM_FEATURES)


def two_walks(prompt: Prompt, rng: random.Random) -> list[list[int]]:
    """Two different summaries."""
    found: list[list[int]] = []
    while len(found) < 2:
        state, tokens = copy_state(prompt, trims=True), list[int]()
        while not state.finished:
            tokens.append(rng.choice(state.allowed().tolist()))
            state.advance(tokens[-1])
        found += [tokens] if tokens not in found else []
    return found


@pytest.fixture(scope="module")
def pairs(net: T5, builder: PromptBuilder, prose: str, tmp_path_factory: pytest.TempPathFactory) -> PairSet:
    """Their reference is the net itself."""
    rng, rows = random.Random(2), list[tuple[Prompt, Candidates]]()
    for query in QUERIES:
        prompt = builder.build(query, Document(text=prose[:420]), max_words=25)
        both = two_walks(prompt, rng)
        state = copy_state(prompt, trims=True)
        with torch.no_grad():
            batch = collate_walks([prompt], [[walk(state, tokens) for tokens in both]])
            log_probs = summary_log_probs(net, batch).tolist()
        candidates = [
            Candidate(tokens=tuple(tokens), num_words=9, num_draws=1, log_prob=log_prob, reward=reward)
            for tokens, log_prob, reward in zip(both, log_probs, (0.9, 0.2), strict=True)
        ]
        rows.append((prompt, Candidates(key=query, candidates=tuple(candidates))))
    directory = tmp_path_factory.mktemp("dpo") / "pairs"
    assert write_pairs(directory, rows, PairConfig(), trims=True, seed=0, about={}) == len(QUERIES)
    return PairSet(directory)


def test_where_it_starts_nothing_is_preferred(net: T5, pairs: PairSet) -> None:
    """Policy and reference are one: the loss is log 2, margins are nothing, and ties count half."""
    outcome = preference_loss(net, collate_pairs(list(pairs)), PreferenceConfig(beta=0.3))
    report = {name: float(value) for name, value in outcome.report.items()}
    assert float(outcome.loss.detach()) == pytest.approx(math.log(2), abs=1e-5)
    assert outcome.num_tokens == pairs.encoder_lens.sum()
    assert [report[name] for name in ("margin", "chosen_gain", "rejected_gain")] == pytest.approx([0, 0, 0], abs=1e-4)
    assert report["dpo_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert 0 <= report["preference_accuracy"] <= 1


def test_the_term_on_the_chosen_is_per_decision(net: T5, pairs: PairSet) -> None:
    batch = collate_pairs(list(pairs))
    plain = preference_loss(net, batch, PreferenceConfig()).loss
    mixed = preference_loss(net, batch, PreferenceConfig(sft_weight=0.5)).loss
    expected = sum(-pair.chosen.log_prob / len(pair.chosen.walk.places) for pair in pairs) / len(pairs)
    assert float((mixed - plain).detach()) == pytest.approx(0.5 * expected, abs=1e-5)


def test_learning_widens_the_margin(make_net: Callable[..., T5], pairs: PairSet) -> None:
    net = make_net(vocab_size=600, num_features=NUM_FEATURES)
    task = PreferenceTask(pairs, PreferenceConfig(beta=0.3, tokens_per_batch=100_000))
    for batch in islice(task.batches(), 6):
        task.loss(net, batch).loss.backward()
        with torch.no_grad():
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.02)
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter -= parameter.grad
        net.zero_grad()
    report = {k: float(v) for k, v in task.loss(net, collate_pairs(list(pairs))).report.items()}
    assert report["chosen_gain"] > 0 > report["rejected_gain"]
    assert report["preference_accuracy"] == 1 and report["dpo_loss"] < math.log(2) - 0.01


def test_a_resumed_stream_skips(pairs: PairSet) -> None:
    task = PreferenceTask(pairs, PreferenceConfig(tokens_per_batch=300, seed=5))
    whole = [batch.reference.tolist() for batch in islice(task.batches(), 9)]
    assert [batch.reference.tolist() for batch in islice(task.batches_from(4), 5)] == whole[4:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": 0.0}, "beta must be above 0, is 0.0"),
        ({"beta": math.nan}, "beta must be above 0, is nan"),
        ({"label_smoothing": 0.5}, r"label_smoothing must lie in \[0, 0.5\), is 0.5"),
        ({"sft_weight": -1.0}, "sft_weight must be at least 0, is -1.0"),
        ({"tokens_per_batch": 0}, "tokens_per_batch must be at least 1, is 0"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreferenceConfig(**changes)
