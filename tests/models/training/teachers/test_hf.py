"""Checkpoints that transformers wrote: a T5, a GPT-2 and a Llama with random weights, and directories that are none."""

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.errors import WeightsCorrupt, WeightsMissing
from qdts.models.evaluation.samples import load_row_file
from qdts.models.training.teachers.base import TeacherRow
from qdts.models.training.teachers.hf import HfConfig, HfTeacher
from qdts.models.training.teachers.prompts import PromptTemplate

with warnings.catch_warnings():
    # What the packages we load warn of while importing is theirs to mend.
    warnings.simplefilter("ignore")
    import transformers

KINDS = ("t5", "gpt2", "llama")
SHORT = PromptTemplate(text="{document}\n{query}\n")
ROWS = [TeacherRow(query=row.query, document=row.document[:300], title=row.title) for row in load_row_file()[:40:8]]


def tiny_net(kind: str, vocab_size: int) -> Any:
    torch.manual_seed(3)
    ends: dict[str, Any] = {"eos_token_id": 2, "pad_token_id": 0}
    if kind == "t5":
        ends["decoder_start_token_id"] = 0
        shape = transformers.T5Config(
            vocab_size=vocab_size,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=2,
            **ends,
        )
        return transformers.T5ForConditionalGeneration(shape)
    if kind == "gpt2":
        shape = transformers.GPT2Config(vocab_size=vocab_size, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, **ends)
        return transformers.GPT2LMHeadModel(shape)
    shape = transformers.LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=1,
        **ends,
    )
    return transformers.LlamaForCausalLM(shape)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory, tokenizer_path: Path) -> dict[str, Path]:
    """A checkpoint of each kind, with the toy tokenizer."""
    found: dict[str, Path] = {}
    for kind in KINDS:
        found[kind] = tmp_path_factory.mktemp(kind) / f"tiny-{kind}"
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(tokenizer_path), eos_token="</s>", pad_token="<pad>" if kind == "t5" else None
        )
        net = tiny_net(kind, len(tokenizer))
        net.generation_config.eos_token_id = tokenizer.eos_token_id
        net.save_pretrained(found[kind])
        tokenizer.save_pretrained(found[kind])
    return found


def teacher(directory: Path, **changes: Any) -> HfTeacher:
    settings: dict[str, Any] = {"model": directory, "prompt": SHORT, "max_new_tokens": 12, "max_input_tokens": 160}
    return HfTeacher(HfConfig(**(settings | changes)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_answered_alike_in_any_batch(directories: dict[str, Path], kind: str) -> None:
    together = teacher(directories[kind], batch_size=3).summarise(ROWS)
    alone = teacher(directories[kind], batch_size=1).summarise(ROWS)
    assert [output.sentences for output in together] == [output.sentences for output in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
        assert 0 <= one.confidence <= 1
        assert one.provenance["finish"] in ("stop", "length")
        assert not one.fault
    assert any(output.sentences for output in together)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_that_of_generate_and_the_confidence_that_of_the_logits(
    directories: dict[str, Path], kind: str
) -> None:
    """Against transformers by hand: greedy, token by token."""
    ours = teacher(directories[kind], max_new_tokens=6)
    auto = transformers.AutoModelForSeq2SeqLM if kind == "t5" else transformers.AutoModelForCausalLM
    net = auto.from_pretrained(directories[kind]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directories[kind])
    row = replace(ROWS[0], document="The engine was built in Derby.")
    ids = tokenizer(SHORT.fill(row), return_tensors="pt")["input_ids"]
    written: list[int] = []
    logprobs: list[float] = []
    while len(written) < 6 and written[-1:] != [tokenizer.eos_token_id]:
        with torch.no_grad():
            if kind == "t5":
                logits = net(input_ids=ids, decoder_input_ids=torch.tensor([[0, *written]])).logits
            else:
                logits = net(input_ids=torch.cat([ids, torch.tensor([written], dtype=torch.long)], 1)).logits
        best = logits[0, -1].log_softmax(0).max(0)
        written.append(int(best.indices))
        logprobs.append(float(best.values))
    [output] = ours.summarise([row])
    text = tokenizer.decode(written, skip_special_tokens=True)
    assert "".join(output.text.split()) in "".join(text.split())
    assert output.sentences or not any(char.isalnum() for char in text)
    expected = math.exp(sum(logprobs) / len(logprobs)) if output.sentences else 0.0
    assert output.confidence == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_beams_write_with_a_confidence_too(directories: dict[str, Path], kind: str) -> None:
    beams = teacher(directories[kind], num_beams=3).summarise(ROWS)
    assert all(0 <= output.confidence <= 1 for output in beams)
    assert len(beams) == len(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_document_is_cut_and_the_question_is_kept(directories: dict[str, Path], kind: str) -> None:
    long = [replace(row, document=row.document * 40) for row in ROWS[:2]]
    ours = teacher(directories[kind])
    prompts: list[str] = []
    write = ours._write
    ours._write = lambda given: prompts.extend(given) or write(given)  # type: ignore[method-assign]
    ours.summarise(long)
    for row, prompt in zip(sorted(long, key=lambda row: len(ours._prompt(row))), prompts, strict=True):
        assert prompt.endswith(f"{row.query}\n")
        assert len(prompt) < len(row.document) / 2


def test_a_chat_template_is_used_where_there_is_one(directories: dict[str, Path], tmp_path: Path) -> None:
    for file in directories["llama"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}{% if add_generation_prompt %}[a]{% endif %}"
    )
    (tmp_path / "chat_template.jinja").write_text(template)
    ours = teacher(tmp_path)
    assert ours._prompt(ROWS[0]).startswith("[user] ")
    assert ours._prompt(ROWS[0]).endswith(f"{ROWS[0].query}\n[a]")
    assert len(ours.summarise(ROWS)) == len(ROWS)
    assert not teacher(directories["llama"])._prompt(ROWS[0]).startswith("[user]")


def test_settings_change_with_what_changes_an_answer(directories: dict[str, Path]) -> None:
    first = teacher(directories["gpt2"])
    assert first.name == "hf:tiny-gpt2"
    assert teacher(directories["gpt2"], batch_size=2).settings == first.settings
    assert teacher(directories["gpt2"], max_new_tokens=9).settings != first.settings
    assert teacher(directories["llama"]).settings != first.settings


def test_a_directory_without_a_checkpoint_is_refused_without_asking_the_net(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no config.json"):
        teacher(tmp_path)
    with pytest.raises(WeightsMissing, match="no config.json"):
        teacher(Path("t5-small"))
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(WeightsCorrupt, match="transformers cannot load it"):
        teacher(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_input_tokens": 8}, "max_input_tokens must be at least 16, is 8"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, is 0"),
        ({"num_beams": 0}, "num_beams must be at least 1, is 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, is 0"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HfConfig(**changes)
