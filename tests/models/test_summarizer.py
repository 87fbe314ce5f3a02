"""From a query and a document to a summary that quotes it, on a tiny net with random weights."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdts.errors import WeightsCorrupt
from qdts.models.document import Document, Summary
from qdts.models.document_states import PackedStates
from qdts.models.export.release import export
from qdts.models.interaction import NUM_FEATURES
from qdts.models.manifest import Description, write
from qdts.models.prompt import Mode, Prompt
from qdts.models.settings import Copying, ModelSettings
from qdts.models.summarizer import Generation, Summarizer, SummarizerConfig
from qdts.models.text.extractive import quote
from qdts.models.text.words import word_starts
from qdts.models.tokenizer import END, FIRST_MARKER

CONFIG = SummarizerConfig(runtime="eager", precision="fp32", num_threads=1)
QUERIES = ["Who drove the engine?", "When did the line close?", "museum", "birds, and a king", "?"]
ODD = {
    "Chinese": "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。" * 20,
    "Thai": "กรุงเทพมหานครเป็นเมืองหลวง " * 20,
    "Korean": "안녕하세요 여러분. 반갑습니다! " * 20,
    "emoji": "😀👩‍👩‍👧 " * 60,
    "right to left": "كانت تقود القطار، كل يوم. " * 30,
    "zero-width": "The\u200b engine\u200b ran\u200b.",
    "NUL": "\0",
    "one long word": "x" * 5_000,
    "line breaks": "a\r\n\r\nB\n" * 200,
    "white space first": " \n" * 1_000 + "The engine ran.",
}


@pytest.fixture(scope="session")
def summarizer(summarizer_dir: Path) -> Summarizer:
    return Summarizer.load(summarizer_dir, CONFIG)


@pytest.fixture(scope="session")
def without_drafts(summarizer_dir: Path) -> Summarizer:
    return Summarizer.load(summarizer_dir, replace(CONFIG, max_draft=0))


def generate(summarizer: Summarizer, prompts: list[Prompt]) -> Generation:
    generation = summarizer.start(prompts)
    while generation.active:
        generation.step()
    return generation


def summarize(summarizer: Summarizer, query: str, text: str, max_words: int = 35, mode: Mode = "joint") -> Summary:
    prompt = summarizer.prepare(query, Document(text=text), max_words=max_words, mode=mode)
    return generate(summarizer, [prompt]).summary(0)


def check(summary: Summary, text: str, max_words: int) -> None:
    assert summary.sentences
    assert 1 <= len(word_starts(summary.text)) <= max_words
    assert 0 < summary.coverage <= 1
    end = 0
    for sentence in summary.sentences:
        assert sentence.source is not None
        assert sentence.source.start >= end, "sentences keep the document's order"
        assert sentence.source.of(text).strip() == sentence.source.of(text)
        assert sentence.text == quote(sentence.source, text) != ""
        end = sentence.source.end


@pytest.mark.parametrize("mode", ["joint", "indexed"])
def test_drafts_change_the_steps_and_not_a_token(
    summarizer: Summarizer, without_drafts: Summarizer, prose: str, mode: Mode
) -> None:
    num_steps = [0, 0]
    for query in QUERIES:
        prompt = summarizer.prepare(query, Document(text=prose), max_words=35, mode=mode)
        drafted, plain = generate(summarizer, [prompt]), generate(without_drafts, [prompt])
        assert drafted.tokens(0) == plain.tokens(0)
        assert drafted.summary(0).sentences == plain.summary(0).sentences
        assert plain.num_steps == len(plain.tokens(0))
        num_steps[0] += drafted.num_steps
        num_steps[1] += plain.num_steps
    assert num_steps[0] < num_steps[1] / 2


def test_a_batch_is_its_rows_one_by_one(summarizer: Summarizer, prose: str) -> None:
    documents = [prose, prose[:200], prose * 2, "The engine ran.", prose]
    prompts = [
        summarizer.prepare(query, Document(text=text), max_words=20 + 5 * i)
        for i, (query, text) in enumerate(zip(QUERIES, documents, strict=True))
    ]
    together = generate(summarizer, prompts)
    for index, prompt in enumerate(prompts):
        assert together.tokens(index) == generate(summarizer, [prompt]).tokens(0)


def test_tokens_are_markers_pieces_and_the_end(summarizer: Summarizer, prose: str) -> None:
    prompt = summarizer.prepare("engine", Document(text=prose), max_words=60)
    generation = generate(summarizer, [prompt])
    tokens = generation.tokens(0)
    first = prompt.sentences[tokens[0] - FIRST_MARKER]
    assert tokens[1 : 1 + len(first.ids)] == first.ids.tolist()
    assert tokens[-1] == END
    assert generation.text(0) == generation.summary(0).text


def test_a_summary_counts_what_it_cost(summarizer: Summarizer, prose: str) -> None:
    prompt = summarizer.prepare("engine", Document(text=prose), max_words=35)
    generation = generate(summarizer, [prompt])
    summary = generation.summary(0)
    assert summary.num_input_tokens == len(prompt.encoder_ids) + len(prompt.prefix)
    assert summary.num_output_tokens == len(generation.tokens(0))
    assert summary.num_steps == generation.num_steps > 0
    assert generation.encode_ms(0) > 0 and generation.decode_ms(0) > 0


def test_text_grows_while_it_is_written(without_drafts: Summarizer, prose: str) -> None:
    prompt = without_drafts.prepare("engine", Document(text=prose), max_words=35)
    generation = without_drafts.start([prompt])
    seen = [generation.text(0)]
    while generation.active:
        generation.step()
        seen.append(generation.text(0))
    assert seen[0] == "" and seen[-1] == generation.summary(0).text
    assert all(later.startswith(earlier) for earlier, later in zip(seen, seen[1:], strict=False))


def test_a_cancelled_row_stops_and_the_others_go_on(summarizer: Summarizer, prose: str) -> None:
    prompts = [summarizer.prepare(query, Document(text=prose), max_words=60) for query in QUERIES[:2]]
    generation = summarizer.start(prompts)
    generation.cancel(0)
    while generation.active:
        assert generation.active == (1,)
        generation.step()
    assert generation.tokens(0) == [] and generation.text(0) == ""
    assert generation.tokens(1) == generate(summarizer, prompts[1:]).tokens(0)


class Writing:
    """A summarizer, prompts of several lengths, and what it writes of each alone."""

    def __init__(self, summarizer: Summarizer, prose: str) -> None:
        self.summarizer = summarizer
        texts = [prose, prose[:200], prose * 2, "The engine ran.", prose[100:700]]
        self.prompts = [
            summarizer.prepare(query, Document(text=text), max_words=20 + 5 * index)
            for index, (query, text) in enumerate(zip(QUERIES, texts, strict=True))
        ]
        self.alone = [generate(summarizer, [prompt]) for prompt in self.prompts]


@pytest.fixture(scope="session", params=["eager", "onnx"])
def running(
    request: pytest.FixtureRequest, summarizer_dir: Path, prose: str, tmp_path_factory: pytest.TempPathFactory
) -> Writing:
    """In fp32 on either runtime."""
    directory = tmp_path_factory.mktemp("running")
    shutil.copytree(summarizer_dir, directory, dirs_exist_ok=True)
    export(directory, directory, ["fp32"])
    write(directory, Description(name="tiny", version="1", licence="Apache-2.0"))
    summarizer = Summarizer.load(directory, replace(CONFIG, runtime=request.param))
    return Writing(summarizer, prose)


@given(data=st.data())
@settings(max_examples=15)
def test_summaries_come_and_go_and_each_is_what_it_is_alone(running: Writing, data: st.DataObject) -> None:
    numbers = st.integers(0, len(running.prompts) - 1)
    first = data.draw(st.lists(numbers, min_size=1, max_size=3), label="start")
    generation = running.summarizer.start([running.prompts[number] for number in first])
    which = dict(enumerate(first))
    for _ in range(data.draw(st.integers(0, 6), label="turns")):
        more = data.draw(st.lists(numbers, max_size=2), label="join")
        if more:
            which |= zip(generation.join([running.prompts[number] for number in more]), more, strict=True)
        for index in (
            data.draw(st.sets(st.sampled_from(generation.active)), label="cancel") if generation.active else ()
        ):
            generation.cancel(index)
            alone = running.alone[which.pop(index)].tokens(0)
            assert generation.tokens(index) == alone[: len(generation.tokens(index))]
            generation.release(index)
        generation.step()
    while generation.active:
        generation.step()
    for index, number in which.items():
        alone = running.alone[number]
        assert generation.tokens(index) == alone.tokens(0)
        assert generation.summary(index).sentences == alone.summary(0).sentences
        assert generation.encode_ms(index) > 0 and generation.decode_ms(index) > 0


def test_a_prompt_that_cannot_be_read_leaves_the_others_alone(
    running: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = running.summarizer.start(running.prompts[:1])
    generation.step()
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="unreadable"):
        patch.setattr(running.summarizer._runtime, "encode", raise_unreadable)
        generation.join(running.prompts[1:3])
    (index,) = generation.join(running.prompts[3:4])
    while generation.active:
        generation.step()
    assert generation.tokens(0) == running.alone[0].tokens(0)
    assert generation.tokens(index) == running.alone[3].tokens(0)


def raise_unreadable(documents: object) -> None:
    raise ValueError("unreadable")


def test_sources_quote_the_document_exactly(summarizer: Summarizer, prose: str) -> None:
    for query in QUERIES:
        check(summarize(summarizer, query, prose), prose, 35)


def test_a_long_document_is_not_all_read(summarizer: Summarizer, prose: str) -> None:
    text = prose * 50
    summary = summarize(summarizer, "Who was the driver?", text)
    check(summary, text, 35)
    assert 0 < summary.coverage < 0.1
    assert summarize(summarizer, "Who was the driver?", prose).coverage == 1.0


@pytest.mark.parametrize("max_words", [5, 35])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_documents(summarizer: Summarizer, text: str, max_words: int) -> None:
    check(summarize(summarizer, "天 กรุง engine 😀", text, max_words), text, max_words)


WORDS = st.sampled_from([*"the engine ran in Derby , . ; ! 中 文。 ก 😀 x".split(), "\n", "\n\n", "y" * 90])
TEXTS = st.lists(WORDS, min_size=1, max_size=80).map(" ".join) | st.text(min_size=1, max_size=100)


@given(text=TEXTS.filter(lambda text: text.strip() != ""), max_words=st.integers(1, 40))
@settings(max_examples=50)
def test_a_summary_never_exceeds_its_words(summarizer: Summarizer, text: str, max_words: int) -> None:
    check(summarize(summarizer, "engine", text, max_words), text, max_words)


def test_the_version_names_the_weights(summarizer: Summarizer) -> None:
    name, _, digest = summarizer.version.partition("@")
    assert name == "tiny" and len(digest) == 12
    assert summarizer.info.name == "eager"


def test_a_changed_file_is_refused(summarizer_dir: Path, tmp_path: Path) -> None:
    for path in summarizer_dir.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(WeightsCorrupt, match=r"tokenizer.json"):
        Summarizer.load(tmp_path, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: replace(CONFIG, max_output_tokens=0), r"max_output_tokens must lie in \[1, 512\], is 0"),
        (lambda: replace(CONFIG, max_draft=129), r"max_draft must lie in \[0, 128\], is 129"),
    ],
)
def test_bounds_of_the_config(change: Callable[[], SummarizerConfig], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change()


def test_a_model_that_trims_says_so_in_its_directory(summarizer_dir: Path, tmp_path: Path) -> None:
    """The same weights, told to trim: pieces begin and end at clause marks."""
    directory = tmp_path / "trims"
    shutil.copytree(summarizer_dir, directory)
    ModelSettings(copying=Copying(trims=True)).save(directory)
    with pytest.raises(WeightsCorrupt, match="qdts.json is not listed"):
        Summarizer.load(directory, CONFIG)
    write(directory, Description(name="trims", version="1", licence="Apache-2.0"))
    text = (
        "When snow lay on the line in winter, a second engine was sent ahead of the train, with a plough at its head."
    )
    whole = summarize(Summarizer.load(summarizer_dir, CONFIG), "what was sent ahead?", text)
    trimmed = summarize(Summarizer.load(directory, CONFIG), "what was sent ahead?", text)
    assert whole.text == text
    assert trimmed.text in text and len(trimmed.text) < len(text)


def test_a_known_document_is_not_encoded_again(summarizer_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its second summary, for another query, is the one that it would have been first."""
    text = "The engine ran. She drove it every day. The line closed in 1962. A museum keeps the birds of the king."
    indexed = replace(CONFIG, mode="indexed", states_bytes=1_000_000)
    first, second = QUERIES[:2]
    fresh = summarize(Summarizer.load(summarizer_dir, indexed), second, text, mode="indexed")

    keeping = Summarizer.load(summarizer_dir, indexed)
    summarize(keeping, first, text, mode="indexed")
    lengths: list[int] = []
    encode = keeping._runtime.encode
    monkeypatch.setattr(keeping._runtime, "encode", lambda ids: (lengths.extend(map(len, ids)), encode(ids))[1])
    again = summarize(keeping, second, text, mode="indexed")
    assert again == fresh
    document = keeping.prepare(second, Document(text=text), max_words=9)
    assert len(document.encoder_ids) not in lengths
    summarize(keeping, second, text.upper(), mode="indexed")
    assert max(lengths) > 20, "another document is"


def test_what_is_known_is_not_to_be_read(summarizer_dir: Path, prose: str) -> None:
    indexed = Summarizer.load(summarizer_dir, replace(CONFIG, mode="indexed", states_bytes=1_000_000))
    joint = Summarizer.load(summarizer_dir, CONFIG)
    for which, second in ((indexed, 0), (joint, None)):
        prompt = which.prepare("engine", Document(text=prose), max_words=9)
        num_query = len(prompt.query_ids) if which._runtime.num_features == NUM_FEATURES else 0
        assert which.num_unread(prompt) == len(prompt.encoder_ids) + num_query
        which.start([prompt])
        expected = len(prompt.encoder_ids) if second is None else second
        assert which.num_unread(prompt) == expected + num_query


def test_what_another_process_has_read_is_not_to_be_read(summarizer_dir: Path, prose: str) -> None:
    """The same summary as without, and of the document nothing left to encode."""
    store = SharedStates()
    config = replace(CONFIG, mode="indexed", states_bytes=1_000_000)
    here, there, alone = (Summarizer.load(summarizer_dir, config) for _ in range(3))
    for process in (here, there):
        process.share_states(store)
    summarize(here, "museum", prose, mode="indexed")
    assert len(store.states) == 1
    prompt = there.prepare("engine", Document(text=prose), max_words=35)
    assert there.num_unread(prompt) >= len(prompt.encoder_ids)
    there.fetch(prompt, within_s=1)
    assert there.num_unread(prompt) < len(prompt.encoder_ids)
    assert generate(there, [prompt]).summary(0) == summarize(alone, "engine", prose, mode="indexed")


def test_states_are_not_shared_where_none_are_kept(summarizer_dir: Path, prose: str) -> None:
    joint, store = Summarizer.load(summarizer_dir, CONFIG), SharedStates()
    joint.share_states(store)
    summarize(joint, "museum", prose)
    assert not store.states


class SharedStates:
    """What processes share, in one."""

    def __init__(self) -> None:
        self.states: dict[bytes, PackedStates] = {}

    def load(self, key: bytes, *, within_s: float) -> PackedStates | None:
        return self.states.get(key)

    def save(self, key: bytes, states: PackedStates) -> None:
        self.states[key] = states


def test_the_mode_is_the_config_s_unless_one_is_named(summarizer_dir: Path) -> None:
    joint, indexed = (Summarizer.load(summarizer_dir, replace(CONFIG, mode=mode)) for mode in ("joint", "indexed"))
    lengths = [
        len(which.prepare("who", Document(text="The engine ran."), max_words=9, mode=mode).encoder_ids)
        for which in (joint, indexed)
        for mode in (None, "joint", "indexed")
    ]
    assert lengths[0] == lengths[1] == lengths[4] > lengths[2] == lengths[3] == lengths[5]
