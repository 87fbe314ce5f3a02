"""Samples follow the policy's probabilities, repeat with their seed, and are greedy decoding at temperature 0."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from qdts.models.copy_source import copy_state
from qdts.models.decoding.greedy import GreedyDecoder, Row
from qdts.models.document import Document
from qdts.models.evaluation.samples import load_row_file
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Prompt, PromptBuilder
from qdts.models.runtimes.choice import greedy_choice
from qdts.models.runtimes.config import RuntimeConfig
from qdts.models.runtimes.eager import EagerRuntime
from qdts.models.summarizer import read_prompts
from qdts.models.training.policy import collate_walks, summary_log_probs, walk
from qdts.models.training.sampling import Sampler, SamplingConfig


@pytest.fixture(scope="module")
def net(make_net: Callable[..., T5]) -> T5:
    return make_net(vocab_size=600, num_features=NUM_FEATURES)


@pytest.fixture(scope="module")
def prompts(builder: PromptBuilder) -> list[Prompt]:
    """Of different lengths; the last leaves nothing to decide."""
    rows = load_row_file()[::24]
    documents = [Document(text=row.document[: 150 * size], title=row.title) for size, row in enumerate(rows, 1)]
    built = [builder.build(row.query, doc, max_words=30) for row, doc in zip(rows, documents, strict=True)]
    return [*built, builder.build("why", Document(text="The line closed."), max_words=30)]


def decoded(net: T5, prompts: list[Prompt], *, trims: bool, max_tokens: int) -> list[list[int]]:
    runtime = EagerRuntime(net, RuntimeConfig(precision="fp32"))
    rows = [Row(prompt.prefix.tolist(), copy_state(prompt, trims=trims)) for prompt in prompts]
    batch = runtime.start(*read_prompts(runtime, prompts))
    decoder = GreedyDecoder(runtime, batch, rows, max_tokens=max_tokens)
    while decoder.active:
        decoder.step()
    return [row.tokens for row in decoder.rows.values()]


@pytest.mark.parametrize(("trims", "max_tokens"), [(False, 160), (True, 160), (True, 9)])
def test_temperature_0_is_greedy_decoding(net: T5, prompts: list[Prompt], trims: bool, max_tokens: int) -> None:
    greedy = Sampler(net, trims=trims).greedy(prompts, max_tokens)
    assert [sample.tokens for sample in greedy] == decoded(net, prompts, trims=trims, max_tokens=max_tokens)


def test_a_sample_is_a_walk_of_the_constraint_and_its_text(net: T5, prompts: list[Prompt]) -> None:
    found = Sampler(net, trims=True).sample(prompts, range(len(prompts)), SamplingConfig(num_samples=6))
    for prompt, samples in zip(prompts, found, strict=True):
        assert sorted(draw for sample in samples for draw in sample.draws) == list(range(6))
        assert len({tuple(sample.tokens) for sample in samples}) == len(samples)
        assert [s.draws[0] for s in samples] == sorted(s.draws[0] for s in samples)
        for sample in samples:
            expected = walk(copy_state(prompt, trims=True), sample.tokens)
            assert expected.places.tolist() == sample.walk.places.tolist()
            assert all(np.array_equal(a, b) for a, b in zip(expected.options, sample.walk.options, strict=True))
            source = " ".join(prompt.text.split())
            assert sample.sentences and all(text in source for text in sample.sentences)
    assert sum(len(samples) > 1 for samples in found) >= len(prompts) - 1
    assert len(found[-1]) == 1, "one sentence: nothing to decide"


def test_the_greedy_summary_stands_first_and_changes_no_draw(net: T5, prompts: list[Prompt]) -> None:
    sampler, config = Sampler(net, trims=True), SamplingConfig(num_samples=4)
    seeds = range(len(prompts))
    plain = sampler.sample(prompts, seeds, config)
    together = sampler.sample(prompts, seeds, config, with_greedy=True)
    for greedy, samples, without in zip(sampler.greedy(prompts), together, plain, strict=True):
        assert samples[0].tokens == greedy.tokens and samples[0].draws[0] == -1
        drawn = {draw: s.tokens for s in samples for draw in s.draws if draw >= 0}
        assert drawn == {draw: s.tokens for s in without for draw in s.draws}


def test_a_draw_depends_on_its_seed_and_not_on_the_batch(net: T5, prompts: list[Prompt]) -> None:
    sampler, config = Sampler(net, trims=True), SamplingConfig(num_samples=3)
    together = sampler.sample(prompts, range(len(prompts)), config)
    for index, prompt in enumerate(prompts):
        alone = sampler.sample([prompt], [index], config)[0]
        assert [s.tokens for s in alone] == [s.tokens for s in together[index]]
    other = sampler.sample(prompts, range(100, 100 + len(prompts)), config)
    assert [[s.tokens for s in samples] for samples in other] != [[s.tokens for s in samples] for samples in together]


def frequencies(net: T5, prompt: Prompt, **settings: Any) -> tuple[Counter[tuple[int, ...]], np.ndarray]:
    """How often each of 3,000 draws came, and the policy's probability of each that did."""
    config = SamplingConfig(num_samples=3_000, **settings)
    samples = Sampler(net, trims=False).sample([prompt], [5], config)[0]
    with torch.no_grad():
        log_probs = summary_log_probs(net, collate_walks([prompt], [[s.walk for s in samples]]))
    return Counter({tuple(s.tokens): len(s.draws) for s in samples}), log_probs.exp().numpy()


@pytest.fixture(scope="module")
def short(builder: PromptBuilder) -> Prompt:
    text = "The engine was built in Derby. Its driver was Mary Hill. The line closed in 1964."
    return builder.build("engine", Document(text=text), max_words=30)


def test_draws_follow_the_policy(net: T5, short: Prompt) -> None:
    counts, expected = frequencies(net, short)
    actual = np.array(list(counts.values())) / 3_000
    assert expected.sum() == pytest.approx(1, abs=0.01)
    assert np.abs(actual - expected).max() < 4 * np.sqrt(0.25 / 3_000)


def test_a_low_temperature_and_a_small_nucleus_draw_the_likely(net: T5, short: Prompt) -> None:
    plain, _ = frequencies(net, short)
    cold, _ = frequencies(net, short, temperature=0.3)
    nucleus, _ = frequencies(net, short, top_p=0.5)
    assert plain.most_common(1)[0][1] < cold.most_common(1)[0][1]
    assert len(nucleus) < len(plain)
    tiny, _ = frequencies(net, short, top_p=1e-6)
    greedy = Sampler(net, trims=False).greedy([short])[0]
    assert list(tiny) == [tuple(greedy.tokens)]


def test_the_net_is_left_in_its_mode(net: T5, short: Prompt) -> None:
    net.train()
    Sampler(net, trims=False).greedy([short])
    assert net.training
    net.eval()
    Sampler(net, trims=False).greedy([short])
    assert not net.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, is 0"),
        ({"max_tokens": -1}, "max_tokens must be at least 1, is -1"),
        ({"temperature": -0.1}, "temperature must be at least 0, is -0.1"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], is 0.0"),
        ({"top_p": 1.1}, r"top_p must lie in \(0, 1\], is 1.1"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**changes)


def test_cached_steps_choose_what_whole_passes_choose(net: T5, prompts: list[Prompt]) -> None:
    """Rows of the cache branch and grow at different paces: each keeps what is its own."""
    for sample, prompt in zip(Sampler(net, trims=True).greedy(prompts), prompts, strict=True):
        state = copy_state(prompt, trims=True)
        for place, options in zip(sample.walk.places.tolist(), sample.walk.options, strict=True):
            before = sample.tokens[:place]
            ways = [[*before, int(option)] for option in options]
            with torch.no_grad():
                scores = summary_log_probs(net, collate_walks([prompt], [[walk(state, way) for way in ways]]))
            assert greedy_choice(options, scores.numpy()) == sample.tokens[place]
