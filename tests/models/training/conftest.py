"""Examples made from a few paragraphs, as arrays and as a data set on disk."""

import random
from pathlib import Path

import pytest

from qdts.models.document import Document
from qdts.models.prompt import PromptBuilder
from qdts.models.training.data.rows import TrainRow
from qdts.models.training.data.weak import weak_rows
from qdts.models.training.dataset import ExampleSet, write_examples
from qdts.models.training.examples import Example, make_example


@pytest.fixture(scope="session")
def rows(prose: str) -> list[TrainRow]:
    return list(weak_rows(f"Engines\n{prose}", random.Random(3), per_document=40))


@pytest.fixture(scope="session")
def examples(rows: list[TrainRow], builder: PromptBuilder) -> list[Example]:
    made = [make_example(builder, r.query, Document(text=r.document, title=r.title), r.reference) for r in rows]
    return [example for example in made if example is not None]


@pytest.fixture(scope="session")
def data_dir(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "toy"
    write_examples(examples, directory)
    return directory


@pytest.fixture(scope="session")
def data(data_dir: Path) -> ExampleSet:
    return ExampleSet(data_dir)
