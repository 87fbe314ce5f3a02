"""A result says where it was measured."""

import json
import platform
from pathlib import Path

import pytest

from qdts.models.evaluation import environment


def test_machine_versions_and_commit() -> None:
    facts = environment.describe_environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["versions"]["python"] == platform.python_version()  # type: ignore[index]
    assert facts["machine"]["cores"] >= 1  # type: ignore[index]


def test_outside_a_checkout_the_commit_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    assert environment.describe_environment()["commit"] == ""
