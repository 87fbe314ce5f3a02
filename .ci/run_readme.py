"""Run the commands of a Markdown file as they stand there. Usage: run_readme.py FILE BIN_DIR

Every line of a ```sh block is run with BIN_DIR first on the path, in one shell per block, except lines that install or
build (CI has run those by then). After a command in the background the script waits until port 50051 answers.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
BUILDING = ("make ", "git ", "pip ", "python3 -m venv", ". .venv")
TIMEOUT_S = 300


def script_of(block: str, wait: str) -> str:
    """The block as a shell script that stops what it started."""
    lines = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"]
    for line in block.splitlines():
        if not line.startswith(BUILDING):
            lines.append(line)
        if line.rstrip().endswith("&"):
            lines.append(wait)
    return "\n".join(lines)


def main(name: str, bin_dir: str) -> int:
    """0 if every block ends well."""
    bin_path = Path(bin_dir).resolve()
    environment = {**os.environ, "PATH": f"{bin_path}:{os.environ['PATH']}", "PYTHONSAFEPATH": "1"}
    wait = f"{bin_path}/python .ci/wait_serving.py 127.0.0.1:50051 60"
    for block in BLOCK.findall(Path(name).read_text(encoding="utf-8")):
        print(f"$ {block.rstrip()}", flush=True)
        done = subprocess.run(["bash", "-c", script_of(block, wait)], env=environment, timeout=TIMEOUT_S)
        if done.returncode:
            print(f"{name}: this block ended with status {done.returncode}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
