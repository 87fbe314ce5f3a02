"""What every system is asked, what it answers, and how it is described. Imports no engine.

Shapes: B requests · S document tokens · P prefix · N tokens to write.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from qdts.models.prompt import Prompt
from qdts.models.runtimes.base import Ids

# What this project's own runtimes run, beside the directories of the families: the model with all it has.
PRODUCT_DIR = "product"
BATCH_SIZE = 8


class Text(Enum):
    """SUMMARY: what the product writes, with interaction features and under the copy constraint, to its end.

    FREE: so many tokens, each of the whole vocabulary, without features.
    """

    SUMMARY = "summary"
    FREE = "free"


class Scenario(Enum):
    """JOINT: query and document are new. INDEXED: what the encoder says of the document is known.

    BATCH8: as many requests as BATCH_SIZE at once, one query on different documents, all new.
    """

    JOINT = "joint"
    INDEXED = "indexed"
    BATCH8 = "batch8"


class Way(Enum):
    """How a batch is done. WHOLE: as the engine does batches, given all of it.

    JOINED: read one by one, written together. IN_TURN: one request after the other. PARALLEL: the requests shared out
    among engines of one thread each.
    """

    WHOLE = "whole"
    JOINED = "joined"
    IN_TURN = "in_turn"
    PARALLEL = "parallel"


class Role(Enum):
    """What a system is measured for. ORACLE: its tokens are the right ones; its speed is not judged."""

    ORACLE = "oracle"
    OURS = "ours"
    PEER = "peer"
    SEED = "seed"


class Family(Enum):
    """Which weights a system runs; the value names their directory."""

    ENCODER_DECODER = "encoder_decoder"
    DECODER_ONLY = "decoder_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Which weights all run: those of `model`, or random ones of a `shape` by its name in ablation/shapes.py.

    `seed_shape` are fields of the decoder-only net that differ from the seed's; its weights are random.
    """

    model: Path
    shape: str = ""
    seed_shape: Mapping[str, int] = field(default_factory=dict[str, int])
    random_seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Write on after the prompt's prefix, greedily.

    FREE: exactly `num_tokens` (N) tokens, END is one like any other. SUMMARY: the summary of this prompt; `trims` as in
    `copy_state`. Who cannot keep to the constraint writes N tokens freely, about as many as the summary has.
    """

    prompt: Prompt
    num_tokens: int
    text: Text = Text.FREE
    trims: bool = False

    @property
    def encoder_ids(self) -> Ids:
        """(S,) what the encoder reads."""
        return self.prompt.encoder_ids

    @property
    def prefix(self) -> Ids:
        """(P,) what the decoder has read before it writes."""
        return self.prompt.prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The tokens (N,), and in how many passes of the decoder they were written."""

    tokens: list[int]
    num_steps: int


class Engine(Protocol):
    """One system, loaded. Requests of one call have prefixes of one length and want one kind of text of one length.

    An engine that cannot keep what the encoder says reads nothing and does it all in `write`; one that does no batches
    is given one request.
    """

    def read(self, requests: Sequence[Request]) -> Any:
        """What is known of these documents from now on."""
        ...

    def write(self, known: Any, requests: Sequence[Request]) -> list[Written]:
        """The answers, from what `read` returned for these requests."""
        ...


class JoiningEngine(Engine, Protocol):
    """An engine that is also asked for Way.JOINED."""

    def join(self, parts: Sequence[Any]) -> Any:
        """What `read` returned for each of several requests, as if it had read them together."""
        ...


@runtime_checkable
class KeepingEngine(Engine, Protocol):
    """An engine with a form of its own in which it keeps what is known of documents between requests."""

    def keep(self, known: Any) -> Any:
        """What `read` returned, in that form, which `write` takes, too."""
        ...


class CannotBuild(RuntimeError):
    """A system cannot be made from these weights; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A row of the benchmark.

    `engine` is "module:class"; the class is built by (directory, variant, num_threads), and its
    classmethod `build(directory, variant)` first makes what it needs in the directory of the weights. `packages` are
    the modules it imports beyond those of the project. `ways`: how it is asked for a batch, the fastest counts; none if
    it is not. `texts`: what it is asked to write; `writes_summaries`: False for one that cannot be told what the next
    token may be, which writes as much freely where a summary is asked for.
    """

    name: str
    engine: str
    variant: str
    role: Role
    family: Family = Family.ENCODER_DECODER
    packages: tuple[str, ...] = field(default=())
    keeps_states: bool = False
    ways: tuple[Way, ...] = (Way.WHOLE,)
    texts: tuple[Text, ...] = tuple(Text)
    writes_summaries: bool = True

    @property
    def is_exact(self) -> bool:
        """Must it write the oracle's tokens? fp32 must, all else is counted."""
        return self.variant.startswith("fp32")

    def load(self) -> Any:
        """The engine's class."""
        module, _, name = self.engine.partition(":")
        return getattr(importlib.import_module(module), name)

    def open(self, work: Path, num_threads: int) -> Engine:
        """Loaded, from what `build` made under `work`."""
        return cast(Engine, self.load()(work / self.family.value, self.variant, num_threads))
