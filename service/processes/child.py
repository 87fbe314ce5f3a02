"""One process below the supervisor: told its settings, awaited until it is ready, ended.

Its settings come on its standard input, which then stays open for orders (orders.py): the end of that is how it learns
that the supervisor is gone, however that went. On its standard output it says in one line of JSON that it is ready,
{"ready": true, "admin_port": 40001}, an engine with "model": "name@digest", or why it never will be,
{"ready": false, "reason": "..."}.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from qdts.errors import Unavailable

# -P: a front runs what is installed, whatever directory it was started in.
PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program and what it reads on its standard input."""

    args: Sequence[str]
    told: bytes


class Child:
    """A running process, or one that has ended."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.admin_port: int | None = None
        self.model: str | None = None
        self._process = process
        self._reading = asyncio.Lock()  # who ends it may come while its line is awaited
        self.ending: asyncio.Task[int] | None = None

    @classmethod
    async def start(cls, name: str, command: Command) -> "Child":
        """Start it and tell it its settings. Unavailable where that is not possible."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # what a terminal sends to all is for the supervisor to pass on
            )
        except OSError as error:
            raise Unavailable(f"{name} could not be started: {error.strerror}") from error
        assert process.stdin is not None
        process.stdin.write(command.told)
        return cls(name, process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait_ready(self, within_s: float) -> None:
        """Return when it is; Unavailable where it cannot be, or is not in time. Then it has ended."""
        try:
            async with asyncio.timeout(within_s):
                said = await self._read_line()
        except TimeoutError:
            said = {"reason": f"not ready within {within_s:g} s"}
        if not said.get("ready"):
            self.send(signal.SIGKILL)
            status = await self.ended()
            raise Unavailable(f"{self.name} could not start: {said.get('reason') or f'exit status {status}'}")
        port = said.get("admin_port")
        self.admin_port = port if isinstance(port, int) else None
        model = said.get("model")
        self.model = model if isinstance(model, str) else None

    async def ended(self) -> int:
        """Its exit status once it is gone; negative for a signal."""
        self.ending = self.ending or asyncio.ensure_future(self._wait())
        return await asyncio.shield(self.ending)  # several may wait

    def tell(self, order: bytes) -> None:
        """One line more on its standard input, if it is still there."""
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(order)

    def send(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self._process.returncode is None:
            # Not by its own method: that looks whether it has ended, and its status is lost to who awaits it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def stop(self, within_s: float, number: int = signal.SIGTERM) -> int:
        """Ask it to end, by this signal, and make it end after so long; its exit status."""
        self.send(number)
        try:
            async with asyncio.timeout(within_s):
                return await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.ended()

    async def _wait(self) -> int:
        reading = asyncio.ensure_future(self._ignore_words())
        try:
            return await self._process.wait()
        finally:
            reading.cancel()

    async def _ignore_words(self) -> None:
        """What it says to nobody must not fill the pipe."""
        assert self._process.stdout is not None
        async with self._reading:
            while await self._process.stdout.read(65536):
                pass

    async def _read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with self._reading:
                said = json.loads(await self._process.stdout.readline())
        except ValueError:  # nothing, or no JSON, or a line that is too long
            return {}
        return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
