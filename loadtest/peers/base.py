"""What every system is asked, what it answers, and how it is described. Imports no engine.

Shapes: S document tokens · P prefix · N tokens to write.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, cast

from qdts.models.prompt import Prompt
from qdts.models.runtimes.base import Ids

# The model as released, beside the directories of the families.
PRODUCT_DIR = "product"


class Scenario(Enum):
    """JOINT: query and document are new. INDEXED: what the encoder says of the document is known."""

    JOINT = "joint"
    INDEXED = "indexed"


class Role(Enum):
    """What a system is measured for. ORACLE: its tokens are the right ones; its speed is not judged."""

    ORACLE = "oracle"
    OURS = "ours"
    PEER = "peer"
    SEED = "seed"
    # Under the copy constraint: other tokens than the rest, so never in a ratio.
    PRODUCT = "product"


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
    """Write exactly `num_tokens` (N) tokens, greedily, after the prompt's prefix. END is a token like any other."""

    prompt: Prompt
    num_tokens: int

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
    """One system, loaded. An engine that cannot keep what the encoder says reads nothing and does it all in `write`."""

    def read(self, request: Request) -> Any:
        """What is known of the document from now on."""
        ...

    def write(self, known: Any, request: Request) -> Written:
        """The answer, from what `read` returned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A row of the benchmark.

    `engine` is "module:class"; the class is built by (directory, variant, num_threads), and its
    classmethod `build(directory, variant)` first makes what it needs in the directory of the weights. `packages` are
    the modules it imports beyond those of the project.
    """

    name: str
    engine: str
    variant: str
    role: Role
    family: Family = Family.ENCODER_DECODER
    packages: tuple[str, ...] = field(default=())
    keeps_states: bool = False

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
