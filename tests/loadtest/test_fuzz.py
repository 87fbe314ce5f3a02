"""The whole of it, briefly: servers in processes of their own, and nothing found where there is nothing."""

from argparse import Namespace
from typing import Any

from qdts.loadtest.fuzz import measure


def test_a_short_run_finds_nothing_and_says_what_it_sent() -> None:
    figures: dict[str, Any] = measure(Namespace(minutes=0.05, seed=4))
    assert (figures["crashes"], figures["hangs"], figures["internal"]) == (0, 0, 0), figures
    parts = [figures[f"{name}_requests"] for name in ("handler", "wire", "operator")]
    assert all(parts) and sum(parts) == figures["requests"]
    assert figures["connections"] > 1
    assert {"OK", "UNAUTHENTICATED"} <= set(figures["operator_codes"])
