"""What the formats' benchmark counts."""

from qdts.loadtest.bench_formats import Written, score
from qdts.models.evaluation.samples import load_row_file


def test_agreement_is_counted_by_rows_and_quality_by_sets() -> None:
    rows = load_row_file()[:4]
    said = [tuple(row.references) for row in rows]
    oracle = Written(tokens=[[1], [2], [3], [4]], sentences=said, elapsed_ms=40)
    other = Written(tokens=[[1], [2], [3], [5]], sentences=[*said[:3], ("nothing",)], elapsed_ms=20)
    assert score(rows, oracle, oracle)["same_tokens"] == 1.0
    assert score(rows, oracle, oracle)["rouge_l"] == 1.0
    found = score(rows, other, oracle)
    assert (found["same_tokens"], found["ms"]) == (0.75, 5.0)
    assert found["rouge_l"] == 0.75
