"""What a front prepares is what the model would have prepared."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qdts.errors import WeightsError
from qdts.models.document import Document
from qdts.models.prompt_codec import unpack_prompt
from qdts.service.config import EngineConfig
from qdts.service.loading import load_model
from qdts.service.processes.reader import load_reader

DOCUMENT = Document(text="The tower was built in 1874. Its lamp was lit by keepers. It fell in 1990.", title="Tower")


@pytest.mark.parametrize("short", [False, True])
def test_prompts_are_the_models(short: bool) -> None:
    config = EngineConfig()
    model, reader = load_model(config), load_reader(config)
    assert model is not None and reader is not None and reader.version == model.version
    packed = reader.prepare("When was it lit?", DOCUMENT, max_words=20, passages_only=short)
    own = model.prepare("When was it lit?", DOCUMENT, max_words=20, passages_only=short)
    sent = unpack_prompt(packed.data)
    assert np.array_equal(sent.encoder_ids, own.encoder_ids) and np.array_equal(sent.features, own.features)
    assert np.array_equal(sent.prefix, own.prefix) and sent.text == own.text


def test_a_documents_key_is_its_own_whatever_is_asked_where_it_is_read_alone() -> None:
    indexed, joint = load_reader(EngineConfig(mode="indexed")), load_reader(EngineConfig())
    assert indexed is not None and joint is not None

    def key(reader: object, query: str, text: str = DOCUMENT.text) -> int:
        return reader.prepare(query, Document(text=text), max_words=20).key  # type: ignore[attr-defined]

    assert key(indexed, "When was it lit?") == key(indexed, "Who kept it?") != key(indexed, "Who?", "Another.")
    assert key(joint, "When was it lit?") != key(joint, "Who kept it?")


def test_no_model_no_reader() -> None:
    assert load_reader(EngineConfig(model="none")) is None


def test_a_directory_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        load_reader(EngineConfig(model=str(tmp_path)))


def test_a_front_loads_no_runtime() -> None:
    code = (
        "import sys; from qdts.service.processes.reader import load_reader;"
        " from qdts.service.config import EngineConfig; load_reader(EngineConfig());"
        " import qdts.service.processes.connect;"
        " print({'onnxruntime', 'torch', 'onnx'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
