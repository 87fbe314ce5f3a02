"""The tiny summarizer with its fp32 graphs, and what flowed through them on a few rows of the sample."""

import shutil
from pathlib import Path

import pytest

from qdts.models.evaluation.rows import EvalRow
from qdts.models.evaluation.samples import load_row_file
from qdts.models.export.calibration import Calibration, calibrate
from qdts.models.export.config import ExportConfig
from qdts.models.export.release import RELEASED, export_fp32


@pytest.fixture(scope="session")
def rows() -> list[EvalRow]:
    return load_row_file()[::30]


@pytest.fixture(scope="session")
def exported(summarizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported")
    for name in RELEASED:
        shutil.copyfile(summarizer_dir / name, directory / name)
    export_fp32(ExportConfig(model=directory))
    return directory


@pytest.fixture(scope="session")
def calibration(exported: Path, rows: list[EvalRow]) -> Calibration:
    return calibrate(exported, rows, num_threads=1)
