"""Settings name what is wrong with them, and its bound."""

from pathlib import Path
from typing import Any

import pytest

from qdts.models.training.data.config import (
    CleanConfig,
    DuplicateConfig,
    PrepareConfig,
    Source,
    VariantConfig,
    WeakConfig,
)

ROWS = (Path("a.jsonl"),)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Source, {"paths": ()}, "paths must name at least one file"),
        (Source, {"paths": (Path("a.csv"),)}, r"a.csv must end in one of .jsonl, .jsonl.zst, .txt, .txt.zst"),
        (Source, {"paths": (Path("a.txt"),)}, "licence must be named for a.txt"),
        (Source, {"paths": ROWS, "share": 1.5}, r"share must lie in \[0, 1\], is 1.5"),
        (Source, {"paths": ROWS, "max_lead_share": -1.0}, r"max_lead_share must lie in \[0, 1\], is -1.0"),
        (Source, {"paths": ROWS, "max_per_document": 0}, "max_per_document must be at least 1, is 0"),
        (WeakConfig, {"lead": -0.1}, "shares of kinds must not be negative"),
        (WeakConfig, {"min_words": 0}, "min_words must be at least 1, is 0"),
        (WeakConfig, {"max_words": 100}, r"max_words must be at least min_words \(150\), is 100"),
        (WeakConfig, {"typo_share": 2.0}, r"typo_share must lie in \[0, 1\], is 2.0"),
        (CleanConfig, {"min_document_words": 0}, "min_document_words must be at least 1, is 0"),
        (
            CleanConfig,
            {"max_reference_words": 2},
            r"max_reference_words must be at least min_reference_words \(3\), is 2",
        ),
        (DuplicateConfig, {"capacity": 0}, "capacity must be at least 1, is 0"),
        (DuplicateConfig, {"similarity": 80.0}, r"similarity must lie in \[0, 1\], is 80.0"),
        (VariantConfig, {"negative_share": 1.1}, r"negative_share must lie in \[0, 1\], is 1.1"),
        (VariantConfig, {"max_joined_words": 0}, "max_joined_words must be at least 1, is 0"),
        (PrepareConfig, {"sources": ()}, "sources must name at least one source"),
        (PrepareConfig, {"num_workers": 0}, "num_workers must be at least 1, is 0"),
        (PrepareConfig, {"max_bad_share": -0.5}, r"max_bad_share must lie in \[0, 1\], is -0.5"),
    ],
)
def test_bad_settings_are_named(kind: type, settings: dict[str, Any], message: str) -> None:
    if kind is PrepareConfig:
        settings = {"model": Path("m"), "out": Path("o"), "sources": (Source(paths=ROWS),)} | settings
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_no_shares_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="nor all 0"):
        WeakConfig(heading=0, lead=0, definition=0, keywords=0, cloze=0)
    assert sum(WeakConfig(cloze=7).shares().values()) == pytest.approx(1)


def test_patterns_name_files(tmp_path: Path) -> None:
    for name in ("b1.jsonl", "b2.jsonl", "c.jsonl"):
        (tmp_path / name).touch()
    source = Source(paths=(tmp_path / "c.jsonl", tmp_path / "b*.jsonl"))
    assert [path.name for path in source.files()] == ["c.jsonl", "b1.jsonl", "b2.jsonl"]
    with pytest.raises(ValueError, match=r"no file .*d\?.jsonl"):
        Source(paths=(tmp_path / "d?.jsonl",)).files()
