"""A prompt that has travelled is the prompt that was sent; bytes that are none are refused, and that is all."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdts.models.document import Document
from qdts.models.prompt import Prompt, PromptBuilder, PromptConfig
from qdts.models.prompt_codec import pack_prompt, unpack_prompt
from qdts.models.shipped import WEIGHTS_DIR

TEXTS = st.text(st.characters(exclude_categories=()), max_size=600).map(lambda text: "Begin. " + text)
QUERY = "When did the last train go?"


@pytest.fixture(name="builder", scope="module")
def _builder() -> PromptBuilder:
    [path] = WEIGHTS_DIR.iterdir()
    return PromptBuilder.load(path, PromptConfig())


def assert_same(one: Prompt, other: Prompt) -> None:
    for name in ("encoder_ids", "features", "prefix"):
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype and np.array_equal(first, second), name
    assert len(one.sentences) == len(other.sentences)
    for first, second in zip(one.sentences, other.sentences, strict=True):
        assert first.span == second.span
        for name in ("ids", "starts", "ends", "clause_ends", "words_before"):
            assert getattr(first, name).dtype == getattr(second, name).dtype
            assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert (one.text, one.max_words, one.coverage) == (other.text, other.max_words, other.coverage)


@given(text=TEXTS, query=st.text(min_size=1, max_size=80), max_words=st.integers(5, 1000), short=st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_arrives_is_what_was_sent(
    builder: PromptBuilder, text: str, query: str, max_words: int, short: bool
) -> None:
    prompt = builder.build(query, Document(text=text, title=query), max_words=max_words, passages_only=short)
    assert_same(unpack_prompt(pack_prompt(prompt)), prompt)


def test_long_documents_and_both_modes(builder: PromptBuilder) -> None:
    document = Document(text="The last train went at nine. It was late! 天地玄黄。 😀 " * 9_000)
    for mode in ("joint", "indexed"):
        prompt = builder.build(QUERY, document, max_words=50, mode=mode)
        assert_same(unpack_prompt(pack_prompt(prompt)), prompt)


def test_no_bound_on_words_that_a_caller_may_ask_for(builder: PromptBuilder) -> None:
    prompt = builder.build(QUERY, Document(text="One. Two."), max_words=1 << 40)
    assert_same(unpack_prompt(pack_prompt(prompt)), replace(prompt, max_words=(1 << 31) - 1))


def test_cut_and_lengthened_bytes_are_refused(builder: PromptBuilder) -> None:
    data = pack_prompt(builder.build(QUERY, Document(text="One. Two."), max_words=5))
    for length in [*range(0, len(data), 7), len(data) - 1]:
        with pytest.raises(ValueError, match="prompt"):
            unpack_prompt(data[:length])
    with pytest.raises(ValueError, match="no prompt"):
        unpack_prompt(data + b"\0")


def test_changed_bytes_are_refused_or_read_as_another_prompt(builder: PromptBuilder) -> None:
    data = pack_prompt(builder.build(QUERY, Document(text="One is here. Two is there."), max_words=5))
    random, num_refused = Random(1), 0
    for _ in range(2_000):
        changed = bytearray(data)
        for _ in range(random.randint(1, 4)):
            # The header is what the lengths of all else hang on.
            changed[random.randrange(48 if random.random() < 0.5 else len(data))] = random.randrange(256)
        try:
            unpack_prompt(bytes(changed))
        except ValueError:
            num_refused += 1
    assert 500 < num_refused < 2_000
