"""Run the commands of a Markdown file as they stand there. Usage: run_readme.py FILE BIN_DIR

Every line of a ```sh block is run, one shell per block, with BIN_DIR first on the path; lines that install or
build are left out (CI has run those by then). After a command in the background it waits for port 50051.
A ```python block is run beside a server on that port.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BUILDING = ("make ", "git ", "pip ", "python3 -m venv", ". .venv")
WAIT = "python .ci/wait_serving.py 127.0.0.1:50051 60"
TIMEOUT_S = 300


def script_of(language: str, block: str) -> str:
    """The block as a shell script that stops what it started."""
    lines = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"]
    if language == "python":
        return "\n".join([*lines, "qdts serve &", WAIT, f"python - <<'END'\n{block}END"])
    for line in block.splitlines():
        if not line.startswith(BUILDING):
            lines.append(line)
        if line.rstrip().endswith("&"):
            lines.append(WAIT)
    return "\n".join(lines)


def main(name: str, bin_dir: str) -> int:
    """0 if every block ends well."""
    path = f"{Path(bin_dir).resolve()}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONSAFEPATH": "1"}
    for language, block in BLOCK.findall(Path(name).read_text(encoding="utf-8")):
        print(f"$ {block.rstrip()}", flush=True)
        script = script_of(language, block)
        done = subprocess.run(["bash", "-c", script], env=environment, timeout=TIMEOUT_S)
        if done.returncode:
            print(f"{name}: this block ended with status {done.returncode}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
