"""all-MiniLM-L6-v2 as a BERT to learn from: its layers and its word pieces (Apache-2.0; a package brings it along).

`models/evaluation/semantic.py` uses the same package for sentence embeddings.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from qdts.errors import Unsupported
from qdts.models.evaluation.semantic import EMBEDDING_PACKAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniLmEncoder:
    """A transformers BertModel, ready for inference, and its tokenizer."""

    bert: Any
    tokenizer: Any


def load_minilm() -> MiniLmEncoder:
    """Unsupported where the packages are not installed."""
    transformers, path = import_beside_minilm("transformers")
    bert = transformers.BertModel.from_pretrained(path, local_files_only=True).eval().requires_grad_(False)
    return MiniLmEncoder(bert=bert, tokenizer=transformers.AutoTokenizer.from_pretrained(path, local_files_only=True))


def import_beside_minilm(module: str) -> tuple[Any, Path]:
    """The module that is to load it, and the directory it lies in. Unsupported where one is not installed."""
    try:
        package = import_module(EMBEDDING_PACKAGE)
        return import_module(module), Path(cast(str, package.__file__)).parent / "model"
    except ModuleNotFoundError as error:
        raise Unsupported(f"learning from all-MiniLM-L6-v2 needs the [dev] extra: {error}") from error
