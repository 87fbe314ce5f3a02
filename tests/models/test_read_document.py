"""A document that was read before gives the same prompts as one that was not, and memory holds only so much."""

import threading
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdts.models.document import Document
from qdts.models.lexicon import Lexicon
from qdts.models.prompt import Prompt, PromptBuilder, PromptConfig
from qdts.models.read_document import ReadDocument, ReadDocuments
from qdts.models.text.bm25 import score_sentences
from qdts.models.text.words import content_stems
from qdts.models.tokenizer import Tokenizer

QUERIES = ("Who was the driver?", "engine", "", "the of", "天地", "nine tonnes of coal and 3,500 coaches")


def same(one: Prompt, other: Prompt) -> bool:
    """Bit for bit."""
    plain = ("text", "max_words", "coverage")
    arrays = ("encoder_ids", "features", "prefix")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in arrays)
        and len(one.sentences) == len(other.sentences)
        and all(
            np.array_equal(getattr(a, part.name), getattr(b, part.name)) if part.name != "span" else a.span == b.span
            for a, b in zip(one.sentences, other.sentences, strict=True)
            for part in fields(a)
        )
    )


@pytest.fixture(scope="module")
def forgetful(tokenizer: Tokenizer, lexicon: Lexicon) -> PromptBuilder:
    return PromptBuilder(tokenizer, lexicon, PromptConfig(max_kept_chars=0))


@given(
    text=st.text(alphabet="ab .,\n天،😀", min_size=1, max_size=400).filter(lambda text: text.strip() != ""),
    title=st.sampled_from(("", "A title")),
    queries=st.lists(st.sampled_from(QUERIES), min_size=2, max_size=4),
    passages_only=st.booleans(),
)
def test_whoever_asked_before_changes_nothing(
    builder: PromptBuilder, forgetful: PromptBuilder, text: str, title: str, queries: list[str], passages_only: bool
) -> None:
    document = Document(text=text, title=title)
    for query in queries:
        kept, fresh = (
            each.build(query, document, max_words=35, passages_only=passages_only) for each in (builder, forgetful)
        )
        assert same(kept, fresh)


def test_long_documents_too(builder: PromptBuilder, forgetful: PromptBuilder, prose: str) -> None:
    document = Document(text=(prose + " " + "word " * 900 + ". ") * 6, title="Long")
    for query in (*QUERIES, *QUERIES):
        assert same(builder.build(query, document, max_words=35), forgetful.build(query, document, max_words=35))


def test_it_scores_as_bm25_does(tokenizer: Tokenizer, lexicon: Lexicon, prose: str) -> None:
    read = ReadDocument(Document(text=prose), tokenizer, lexicon, max_chars=10_000)
    for query in QUERIES:
        assert read.scores(content_stems(query)) == score_sentences(query, prose, read.spans)


def test_a_document_is_read_once(tokenizer: Tokenizer, lexicon: Lexicon) -> None:
    documents = ReadDocuments(tokenizer, lexicon, max_chars=100, max_kept_chars=1000)
    first = documents.read(Document(text="The engine."))
    assert documents.read(Document(text="The engine.")) is first, "equal, though not the same object"
    assert documents.read(Document(text="The engine.", title="x")) is not first
    assert documents.read(Document(text="The engine.", language="de")) is not first


def test_the_one_not_read_for_longest_is_forgotten_first(tokenizer: Tokenizer, lexicon: Lexicon) -> None:
    documents = ReadDocuments(tokenizer, lexicon, max_chars=100, max_kept_chars=30)
    texts = [Document(text=letter * 10) for letter in "abc"]
    first, second, third = [documents.read(text) for text in texts]
    assert documents.read(texts[0]) is first
    documents.read(Document(text="d" * 10))
    assert documents.read(texts[0]) is first and documents.read(texts[2]) is third
    assert documents.read(texts[1]) is not second


def test_one_that_is_larger_than_all_room_leaves_the_others_alone(tokenizer: Tokenizer, lexicon: Lexicon) -> None:
    documents = ReadDocuments(tokenizer, lexicon, max_chars=100, max_kept_chars=30)
    small = documents.read(Document(text="a" * 10))
    large = documents.read(Document(text="b" * 31))
    assert documents.read(Document(text="a" * 10)) is small
    assert documents.read(Document(text="b" * 31)) is not large


def test_many_threads_read_the_same(builder: PromptBuilder, forgetful: PromptBuilder, prose: str) -> None:
    document = Document(text=prose + " Read by many.")
    expected = {query: forgetful.build(query, document, max_words=35) for query in QUERIES}
    wrong: list[str] = []
    start = threading.Barrier(6)

    def read(query: str) -> None:
        start.wait()
        for _ in range(20):
            if not same(builder.build(query, document, max_words=35), expected[query]):
                wrong.append(query)

    threads = [threading.Thread(target=read, args=(query,)) for query in QUERIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
