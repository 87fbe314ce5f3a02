"""An endpoint that speaks OpenAI's chat completions (POST /chat/completions) as a teacher: a hosted model, vLLM,
llama.cpp, ...

Several requests are under way at a time. A row that cannot be answered becomes an output with a fault; settings
that cannot work raise ConfigError. Knows nothing of rewards or caches; no key or text is logged.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from math import exp, isfinite
from typing import Any, cast

from qdts.errors import ConfigError, QdtsError
from qdts.models.training.teachers.base import TeacherOutput, TeacherRow
from qdts.models.training.teachers.endpoint import Endpoint, EndpointConfig
from qdts.models.training.teachers.prompts import PromptTemplate, written_sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiConfig:
    """`endpoint.url` is what the API's paths follow, such as "https://HOST/v1"; `model` a name it knows."""

    model: str = ""
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    prompt: PromptTemplate = field(default_factory=PromptTemplate)
    system: str = "You quote documents. You never add a word of your own."
    # Longer documents are cut at their end.
    max_document_chars: int = 12_000
    max_tokens: int = 128
    temperature: float = 0.0
    concurrency: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= 64:
            raise ValueError(f"concurrency must lie in [1, 64], is {self.concurrency}")
        if not 0.0 <= self.temperature <= 2.0:
            raise ValueError(f"temperature must lie in [0, 2], is {self.temperature}")
        for name in ("max_document_chars", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")


class OpenAiTeacher:
    """One model behind one endpoint."""

    def __init__(self, config: OpenAiConfig, endpoint: Endpoint | None = None) -> None:
        if not config.model:
            raise ConfigError("model of the openai teacher is missing")
        self._config = config
        self._endpoint = endpoint or Endpoint(config.endpoint)
        self.name = f"openai:{config.model}@{self._endpoint.host}"
        self.settings: Mapping[str, object] = {
            "prompt": asdict(config.prompt),
            "system": config.system,
            "limits": [config.max_document_chars, config.max_tokens],
            "temperature": config.temperature,
        }
        self.batch_size = 4 * config.concurrency

    def summarise(self, rows: Sequence[TeacherRow]) -> list[TeacherOutput]:
        """At most `concurrency` rows at a time."""
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            try:
                return list(pool.map(self._answer, rows))
            finally:
                # After Ctrl-C, or settings that cannot work, what has not been asked is not asked.
                pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, row: TeacherRow) -> TeacherOutput:
        try:
            return _output(self._endpoint.post("/chat/completions", self._body(row)), self._endpoint.host)
        except ConfigError:
            raise
        except QdtsError as fault:
            return TeacherOutput(fault=f"{type(fault).__name__}: {fault}")

    def _body(self, row: TeacherRow) -> dict[str, object]:
        prompt = self._config.prompt.fill(row, row.document[: self._config.max_document_chars])
        messages = [{"role": "user", "content": prompt}]
        if self._config.system:
            messages.insert(0, {"role": "system", "content": self._config.system})
        return {
            "model": self._config.model,
            "messages": messages,
            "max_tokens": self._config.max_tokens,
            "temperature": self._config.temperature,
        }


def _output(reply: Mapping[str, Any], host: str) -> TeacherOutput:
    """The first choice of a reply. An endpoint that tells no log-probabilities is taken at its word: confidence 1."""
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
        finish = str(choice.get("finish_reason") or "")
    except (KeyError, IndexError, TypeError, AttributeError):
        return TeacherOutput(fault=f"Unavailable: {host} answered without a choice")
    if not isinstance(text, str):
        return TeacherOutput(fault=f"Unavailable: {host} answered without a text")
    sentences = written_sentences(text)
    confidence = _confidence(choice.get("logprobs")) if sentences else 0.0
    provenance = {"finish": finish, "model": str(reply.get("model") or "")}
    return TeacherOutput(sentences=sentences, confidence=confidence, provenance=provenance)


def _confidence(logprobs: object) -> float:
    """The geometric mean of the tokens' probabilities, where they are told."""
    try:
        values = [float(token["logprob"]) for token in cast(Any, logprobs)["content"]]
    except (KeyError, TypeError, ValueError):
        return 1.0
    mean = sum(values) / len(values) if values else 0.0
    return min(1.0, exp(mean)) if isfinite(mean) else 1.0
