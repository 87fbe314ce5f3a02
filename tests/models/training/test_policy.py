"""The probability of a summary is that of its decisions, one by one; all summaries of a prompt share 1."""

import math
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch

from qdts.models.copy_source import copy_state
from qdts.models.decoding.copying import CopyState
from qdts.models.document import Document
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.similarity import similarity_features
from qdts.models.training.policy import (
    Walk,
    collate_walks,
    option_log_probs,
    sum_by_summary,
    summary_divergences,
    summary_log_probs,
    taken_log_probs,
    walk,
)

TEXTS = (
    "The engine was built in Derby, a town on the river, in 1902. Its driver was Mary Hill.",
    "Most museums are open to the public, and many of them charge nothing at all. It closed.",
    "The line closed. Visitors can climb into the cab, ring the bell of the train, and take a picture.",
)
QUERIES = ("Who drove the engine?", "what do museums charge", "cab")


@pytest.fixture(scope="module")
def net(make_net: Callable[..., T5]) -> T5:
    return make_net(vocab_size=600, num_features=NUM_FEATURES)


@pytest.fixture(scope="module")
def prompts(builder: PromptBuilder) -> list[Prompt]:
    return [builder.build(q, Document(text=t), max_words=30) for q, t in zip(QUERIES, TEXTS, strict=True)]


def summaries(state: CopyState, tokens: tuple[int, ...] = ()) -> Iterator[list[int]]:
    """Every summary the constraint allows."""
    if state.finished:
        yield list(tokens)
        return
    for token in state.allowed().tolist():
        after = state.copy()
        after.advance(token)
        yield from summaries(after, (*tokens, token))


def walks_of(prompt: Prompt, *, trims: bool) -> list[Walk]:
    state = copy_state(prompt, trims=trims)
    return [walk(state, tokens) for tokens in summaries(state)]


def slow_log_prob(net: T5, prompt: Prompt, tokens: list[int], *, trims: bool) -> float:
    """Token by token, the whole vocabulary each time, no padding."""
    state = copy_state(prompt, trims=trims)
    ids, mask = torch.tensor(prompt.encoder_ids)[None], torch.ones(1, len(prompt.encoder_ids), dtype=torch.bool)
    total = 0.0
    with torch.no_grad():
        states = net.encode(ids, mask)
        query = net.encode(torch.tensor(prompt.query_ids)[None], torch.ones(1, len(prompt.query_ids), dtype=torch.bool))
        made = similarity_features(prompt.encoder_ids, states[0].numpy(), query[0].numpy())
        hidden = net.interact(states, torch.tensor(np.concatenate([prompt.features, made], axis=1))[None])
        for place, token in enumerate(tokens):
            before = torch.tensor([*prompt.prefix.tolist(), *tokens[:place]])[None]
            logits = net.logits(net.decode(before, hidden, mask))[0, -1]
            allowed = state.allowed().tolist()
            total += float(logits[allowed].log_softmax(0)[allowed.index(token)])
            state.advance(token)
    return total


@pytest.mark.parametrize("trims", [False, True])
def test_a_padded_batch_is_what_one_token_after_another_gives(net: T5, prompts: list[Prompt], trims: bool) -> None:
    groups = [walks_of(prompt, trims=trims)[::3] for prompt in prompts]
    with torch.no_grad():
        actual = summary_log_probs(net, collate_walks(prompts, groups)).tolist()
    expected = [
        slow_log_prob(net, prompt, one.tokens.tolist(), trims=trims)
        for prompt, group in zip(prompts, groups, strict=True)
        for one in group
    ]
    assert actual == pytest.approx(expected, abs=2e-5)
    assert len(set(np.round(expected, 3))) > len(expected) / 2


@pytest.mark.parametrize("trims", [False, True])
def test_all_summaries_together_have_probability_1(net: T5, prompts: list[Prompt], trims: bool) -> None:
    for prompt in prompts:
        walks = walks_of(prompt, trims=trims)
        assert len(walks) >= (7 if trims else 3)
        with torch.no_grad():
            log_probs = summary_log_probs(net, collate_walks([prompt], [walks]))
        assert float(log_probs.exp().sum()) == pytest.approx(1, abs=1e-5)


def test_only_decisions_count(prompts: list[Prompt]) -> None:
    """Two sentences: one decision for the last of them, two for the first alone, and for both."""
    state = copy_state(prompts[0], trims=False)
    assert sorted(len(walk(state, tokens).places) for tokens in summaries(state)) == [1, 2, 2]
    for one in walks_of(prompts[0], trims=True):
        for place, options in zip(one.places, one.options, strict=True):
            assert len(options) > 1 and one.tokens[place] in options
            assert options.tolist() == sorted(options.tolist())


def test_a_forced_summary_is_certain(net: T5, builder: PromptBuilder) -> None:
    prompt = builder.build("why", Document(text="The line closed in 1964."), max_words=30)
    walks = walks_of(prompt, trims=False)
    assert [len(one.places) for one in walks] == [0]
    assert summary_log_probs(net, collate_walks([prompt], [walks])).tolist() == [0.0]


def test_a_walk_the_constraint_forbids_is_an_error(prompts: list[Prompt]) -> None:
    state = copy_state(prompts[0], trims=False)
    tokens = next(summaries(state))
    with pytest.raises(ValueError, match=f"token 599 at {len(tokens) - 1} is none of those allowed there"):
        walk(state, [*tokens[:-1], 599])
    assert not state.pieces, "the state is left as it was"


def test_it_can_be_learned_from(make_net: Callable[..., T5], prompts: list[Prompt]) -> None:
    """The gradient is finite, reaches encoder and decoder, and a step along it makes the summary likelier."""
    net = make_net(vocab_size=600, num_features=NUM_FEATURES)
    batch = collate_walks(prompts, [walks_of(prompt, trims=True)[:2] for prompt in prompts])
    before = summary_log_probs(net, batch)[3]
    before.backward()
    reached = {name for name, p in net.named_parameters() if p.grad is not None and float(p.grad.norm()) > 0}
    assert any("encoder." in name for name in reached) and any("decoder." in name for name in reached)
    norm = float(torch.nn.utils.clip_grad_norm_(net.parameters(), math.inf))
    assert math.isfinite(norm)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.01 / norm * (0 if parameter.grad is None else parameter.grad)
        assert float(summary_log_probs(net, batch)[3]) > float(before.detach())


def test_divergence_is_the_sum_over_decisions_and_its_mean_is_that_of_the_log_ratios(
    net: T5, make_net: Callable[..., T5], prompts: list[Prompt]
) -> None:
    """Weighted by the policy's own probabilities, both are the KL of the two policies over all summaries."""
    other = make_net(vocab_size=600, num_features=NUM_FEATURES)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
        for prompt in islice(prompts, 2):
            batch = collate_walks([prompt], [walks_of(prompt, trims=True)])
            ours, theirs = option_log_probs(net, batch), option_log_probs(other, batch)
            log_probs = sum_by_summary(batch, taken_log_probs(batch, ours))
            ratios = log_probs - sum_by_summary(batch, taken_log_probs(batch, theirs))
            divergence = float((log_probs.exp() * summary_divergences(batch, ours, theirs)).sum())
            assert divergence == pytest.approx(float((log_probs.exp() * ratios).sum()), abs=1e-4)
            assert divergence > 0
            assert summary_divergences(batch, ours, ours).abs().max() == 0
