"""The whole of it, briefly: servers in processes of their own, and nothing found where there is nothing."""

import json
from argparse import Namespace
from typing import Any

import pytest

from qdts.loadtest import fuzz
from qdts.loadtest.fuzz import measure


def test_a_short_run_finds_nothing_and_says_what_it_sent() -> None:
    figures: dict[str, Any] = measure(Namespace(minutes=0.05, seed=4))
    assert (figures["crashes"], figures["hangs"], figures["internal"]) == (0, 0, 0), figures
    parts = [figures[f"{name}_requests"] for name in ("handler", "wire", "operator")]
    assert all(parts) and sum(parts) == figures["requests"]
    assert figures["connections"] > 1
    assert {"OK", "UNAUTHENTICATED"} <= set(figures["operator_codes"])


@pytest.mark.parametrize("found", ["", "crashes", "hangs", "internal"])
def test_script_fails_if_anything_was_found(
    found: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[float] = []

    def measured(args: Namespace) -> dict[str, object]:
        asked.append(args.minutes)
        counts = dict.fromkeys(("crashes", "hangs", "internal"), 0)
        return {name: count + (name == found) for name, count in counts.items()}

    monkeypatch.setattr(fuzz, "measure", measured)
    monkeypatch.setattr("sys.argv", ["fuzz", "--quick", "--json"])
    assert fuzz.main() == (1 if found else 0)
    assert asked == [0.4]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]["crashes"] == (found == "crashes")
