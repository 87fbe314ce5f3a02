"""Which library is taken, and what is said where there is none."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from qdts.errors import Unsupported
from qdts.models.runtimes.tensorrt.library import Library, last_words, load_library, make_logger


def install(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    for name, version in versions.items():
        module = None if version is None else SimpleNamespace(__version__=version)
        monkeypatch.setitem(sys.modules, name, cast(Any, module))


def test_tensorrt_itself_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tensorrt="11.4.0", tensorrt_rtx="1.7.1")
    found = load_library()
    assert (found.name, found.version, found.is_rtx) == ("tensorrt", "11.4.0", False)
    assert load_library(("tensorrt_rtx",)).is_rtx


def test_the_twin_is_taken_where_tensorrt_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tensorrt=None, tensorrt_rtx="1.7.1")
    assert load_library().name == "tensorrt_rtx"


def test_without_either_the_commands_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tensorrt=None, tensorrt_rtx=None)
    with pytest.raises(Unsupported, match=r"pip install tensorrt,.*or pip install tensorrt-rtx"):
        load_library()


def test_the_logger_keeps_what_went_wrong(library: Library) -> None:
    logger, errors = make_logger(library)
    severity = library.module.ILogger.Severity
    assert last_words(errors) == "the library does not say why"
    logger.log(severity.ERROR, "no such layer")
    logger.log(7, "all is well")
    assert last_words(errors) == "the library says: no such layer"
