"""`make nightly` runs what there is, with flags that it takes, and fails if one of them does."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Makefile").read_text(encoding="utf-8").partition("nightly: setup redis")[2].partition("\n\n")[0]


def test_each_run_is_a_script_and_its_flags_are_known() -> None:
    runs = re.findall(r"'(\w+\.py[^']*)'", RECIPE)
    assert [run.split(".py")[0] for run in runs] == ["soak", "overload", "overload", "faults", "fuzz"]
    for run in runs:
        script, *words = run.split()
        source = (ROOT / "loadtest" / script).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in words if word.startswith("--")), run


def test_one_that_fails_is_named_and_the_others_are_run_all_the_same(tmp_path: Path) -> None:
    """The recipe's own shell, with a python that takes notes and says that faults.py has missed a bar."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ran\ncase "$1" in *faults.py) exit 1;; esac\n')
    python.chmod(0o755)
    command = ["make", "-s", "-o", "setup", "-o", "redis", "-f", str(ROOT / "Makefile"), "nightly", f"BIN={tmp_path}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1].endswith(": faults.py:1")
    assert len((tmp_path / "ran").read_text().splitlines()) == 5
