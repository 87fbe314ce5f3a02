"""A checkpoint directory that transformers can load, encoder-decoder or decoder-only, as a teacher.

Nothing is ever downloaded: what is not in the directory is an error. The confidence is the geometric mean of the
probabilities of the written tokens. Imports transformers only when built; knows nothing of rewards or caches.
"""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from qdts.errors import Unsupported, WeightsCorrupt, WeightsMissing
from qdts.models.training.teachers.base import TeacherOutput, TeacherRow
from qdts.models.training.teachers.prompts import PromptTemplate, written_sentences

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class HfConfig:
    """A local checkpoint and how it writes. `num_beams` 1 is greedy. A chat template is used where there is one."""

    model: Path = Path()
    prompt: PromptTemplate = field(default_factory=PromptTemplate)
    # Longer documents are cut at their end so that the whole prompt fits.
    max_input_tokens: int = 1024
    max_new_tokens: int = 96
    num_beams: int = 1
    batch_size: int = 8
    device: str = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    def __post_init__(self) -> None:
        for name, least in (("max_input_tokens", 16), ("max_new_tokens", 1), ("num_beams", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, is {getattr(self, name)}")


class HfTeacher:
    """One checkpoint, loaded."""

    def __init__(self, config: HfConfig) -> None:
        self._config = config
        if not (config.model / "config.json").is_file():
            raise WeightsMissing(f"{config.model} is no checkpoint directory: it has no config.json")
        self._transformers = _import_transformers()
        self._tokenizer, self._net = self._load()
        self.name = f"hf:{config.model.resolve().name}"
        self.settings: Mapping[str, object] = {
            "files": _fingerprint(config.model),
            "prompt": asdict(config.prompt),
            "limits": [config.max_input_tokens, config.max_new_tokens, config.num_beams],
            "precision": config.precision,
        }
        self.batch_size = config.batch_size

    def _load(self) -> tuple[Any, Any]:
        """The tokenizer and the net; WeightsCorrupt where transformers refuses the directory."""
        kinds, path = self._transformers, str(self._config.model)
        try:
            shape = kinds.AutoConfig.from_pretrained(path, local_files_only=True)
            tokenizer = kinds.AutoTokenizer.from_pretrained(path, local_files_only=True)
            kind = kinds.AutoModelForSeq2SeqLM if shape.is_encoder_decoder else kinds.AutoModelForCausalLM
            dtype = _DTYPES[self._config.precision]
            net = kind.from_pretrained(path, local_files_only=True, dtype=dtype)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsCorrupt(f"{path}: transformers cannot load it: {error}") from error
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # A decoder goes on from the last token, so that must be the prompt's and no padding.
        tokenizer.padding_side = "right" if shape.is_encoder_decoder else "left"
        return tokenizer, net.to(self._config.device).eval()

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        """Batches of `batch_size`, rows of like length together."""
        prompts = [self._prompt(row) for row in rows]
        order = sorted(range(len(rows)), key=lambda i: len(prompts[i]))
        outputs: dict[int, TeacherOutput] = {}
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            outputs |= zip(chosen, self._write([prompts[i] for i in chosen]), strict=True)
        return [outputs[i] for i in range(len(rows))]

    def _prompt(self, row: TeacherRow) -> str:
        """The prompt, its document cut to what the prompt leaves room for."""
        empty = self._laid_out(self._config.prompt.fill(row, ""))
        room = self._config.max_input_tokens - len(self._ids(empty))
        ids = self._ids(row.document)
        document = row.document if len(ids) <= room else self._tokenizer.decode(ids[: max(0, room)])
        return self._laid_out(self._config.prompt.fill(row, document))

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _laid_out(self, prompt: str) -> str:
        if not getattr(self._tokenizer, "chat_template", None):
            return prompt
        messages = [{"role": "user", "content": prompt}]
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def _write(self, prompts: list[str]) -> list[TeacherOutput]:
        batch = self._tokenizer(
            prompts,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=self._config.max_input_tokens,
            # A chat template has put them there already.
            add_special_tokens=not getattr(self._tokenizer, "chat_template", None),
        ).to(self._config.device)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}  # (B, S)
        with torch.inference_mode():
            written = self._net.generate(
                **inputs,
                max_new_tokens=self._config.max_new_tokens,
                num_beams=self._config.num_beams,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id,
                output_scores=True,
                return_dict_in_generate=True,
            )
            return self._outputs(written)

    def _outputs(self, written: Any) -> list[TeacherOutput]:
        logprobs: Tensor = self._net.compute_transition_scores(  # (B, T)
            written.sequences, written.scores, getattr(written, "beam_indices", None), normalize_logits=True
        )
        new: Tensor = written.sequences[:, -logprobs.shape[1] :]  # (B, T): without the prompt
        return [self._output(ids, scores) for ids, scores in zip(new, logprobs.float(), strict=True)]

    def _output(self, ids: Tensor, logprobs: Tensor) -> TeacherOutput:
        ended = torch.isin(ids, torch.tensor(self._end_ids(), device=ids.device))  # (T,)
        num_written = int(ended.nonzero()[0]) + 1 if ended.any() else len(ids)
        text: str = self._tokenizer.decode(ids[:num_written], skip_special_tokens=True)
        sentences = written_sentences(text)
        mean = float(logprobs[:num_written].mean())
        confidence = min(1.0, math.exp(mean)) if sentences and math.isfinite(mean) else 0.0
        return TeacherOutput(
            sentences=sentences,
            confidence=confidence,
            provenance={"finish": "stop" if ended.any() else "length"},
        )

    def _end_ids(self) -> list[int]:
        """A net may know several ends, or none."""
        ends = cast("int | list[int] | None", self._net.generation_config.eos_token_id)
        return [] if ends is None else ends if isinstance(ends, list) else [ends]


def _import_transformers() -> Any:
    # It may only look at the directory it is given.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return import_module("transformers")
    except ModuleNotFoundError as error:
        raise Unsupported(f"a Hugging Face teacher needs the package transformers: {error}") from error


def _fingerprint(directory: Path) -> str:
    """Changes when the checkpoint does, without reading all of it: names, sizes and times of its files."""
    files = sorted(path for path in directory.iterdir() if path.is_file())
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
