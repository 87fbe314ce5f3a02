"""Two servers, one restarted after the other: others answer at the same ports, and none is left behind."""

import time
from pathlib import Path

import pytest

from qdts.loadtest.simulation.pair import Pair


@pytest.mark.slow
def test_each_is_another_process_afterwards_and_both_are_gone_at_the_end() -> None:
    with Pair(settle_s=0) as pair:
        before, url = pair.pids, pair.url
        assert not pair.has_restarted()
        pair.restart_each()
        ends_at = time.monotonic() + 120
        while not pair.has_restarted():
            assert time.monotonic() < ends_at
            time.sleep(0.05)
        after = pair.pids
        assert len({*before, *after}) == 4 and pair.url == url
    assert not any(Path(f"/proc/{pid}").exists() for pid in (*before, *after))
