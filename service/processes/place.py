"""One process that should always be there: started, looked after, started again when it has ended or is stuck."""

import asyncio
import signal
import time
from collections.abc import Callable

from qdts.errors import Unavailable
from qdts.service import logs
from qdts.service.heartbeat import LifecycleConfig, Since
from qdts.service.processes.child import Child, Command
from qdts.service.processes.probe import TIMEOUT_S, Said, ask

LOOK_EVERY_S = 0.5
# The most that one look without an answer counts for: of a supervisor that was held up itself, it says nothing.
_MAX_SILENCE_PER_LOOK_S = 2 * (LOOK_EVERY_S + TIMEOUT_S)
# Of what /livez may name, what a new process helps against. An engine that is away is no fault of its front.
_STUCK = frozenset({"loop", "model"})


class Place:
    """Keeps a child in it from start() to stop(). Event loop only, but for what is read of it."""

    def __init__(
        self,
        name: str,
        command: Callable[[], Command],
        config: LifecycleConfig,
        *,
        count_restart: Callable[[str], None],
        on_ready: Callable[[Child], None] = lambda child: None,
    ) -> None:
        """`command` is asked before each start, `on_ready` told after it."""
        self.name = name
        self.away = Since()
        self.is_ready = False
        self.num_restarts = 0  # attempts
        self.model: str | None = None  # of the last one that was in it, if that said
        self._command, self._config = command, config
        self._count_restart, self._on_ready = count_restart, on_ready
        self._child: Child | None = None
        self.leaving: dict[Child, asyncio.Task[None]] = {}
        self._children: set[Child] = set()  # those that leave and those that come, too
        self._order = b""
        self._changing = asyncio.Lock()
        self._is_stopped = False
        self._keeping: asyncio.Task[None] | None = None
        self._silent_s = 0.0
        self._looked_at = 0.0

    @property
    def child(self) -> Child | None:
        """The process that is in it and ready, if there is one."""
        return self._child

    async def start(self) -> None:
        """Put the first one in it; Unavailable if it does not get ready. Later ones come by themselves.

        One that a renewal has put there meanwhile is the first.
        """
        async with self._changing:
            if self._child is None:
                self.away.begin()
                await self._put_in_place()
                self._look_after()

    async def renew(self, number: int, leave_s: float) -> None:
        """Put another one beside it, then in its place; Unavailable if that does not get ready.

        The old one is sent the signal and has so long to leave.
        """
        async with self._changing:
            before = self._child
            await self._put_in_place()
            self._look_after()  # this one, however long the other takes to leave
        if before is not None:
            self.leaving[before] = asyncio.ensure_future(self._leave(before, number, leave_s))

    def send(self, number: int) -> None:
        """A signal to the process that is in it, if there is one, and to those that leave it."""
        for child in (self._child, *self.leaving):
            if child is not None:
                child.send(number)

    def tell(self, order: bytes) -> None:
        """Say it to all that are there, those that come and leave included, and to each that comes later."""
        self._order = order
        for child in self._children:
            child.tell(order)

    async def stop(self, leave_s: float, number: int = signal.SIGTERM) -> None:
        """Put nothing in it any more; what is there is sent the signal and leaves, within so long."""
        self._is_stopped = True
        for task in (self._keeping, *self.leaving.values()):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(child.stop(leave_s, number) for child in self._children))
        self._children.clear()
        async with self._changing:  # who was still putting something in it has seen that it may not
            pass
        self._child, self.is_ready = None, False

    async def look(self) -> None:
        """Ask how it is; what is stuck is killed. To be called every LOOK_EVERY_S."""
        child, since = self._child, self._looked_at
        self._looked_at = time.monotonic()
        if child is None or child.admin_port is None:
            return
        lives = await asyncio.to_thread(ask, child.admin_port, "/livez")
        ready = lives and await asyncio.to_thread(ask, child.admin_port, "/readyz")
        if self._child is not child:  # another one by now
            return
        self.is_ready = ready is not None and ready.status == 200
        self._silent_s += min(time.monotonic() - since, _MAX_SILENCE_PER_LOOK_S)
        if lives is not None:
            self._silent_s = 0.0
        if self._is_stuck(lives):
            logs.warning("process_stuck", name=self.name, pid=child.pid, part=lives.text if lives else None)
            child.send(signal.SIGKILL)

    def _is_stuck(self, lives: Said | None) -> bool:
        if lives is None:
            return self._silent_s > self._config.max_loop_stall_s
        return lives.status != 200 and lives.text in _STUCK

    def _look_after(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        delay_s = self._config.restart_first_s
        while True:
            child = self._child
            if child is None:
                delay_s = await self._bring_back(delay_s)
                continue
            ready_at = time.monotonic()
            status = await child.ended()
            self._children.discard(child)
            self._child, self.is_ready = None, False
            self.away.begin()
            logs.warning("process_ended", name=self.name, pid=child.pid, status=status)
            if time.monotonic() - ready_at > self._config.restart_max_s:
                delay_s = self._config.restart_first_s

    async def _bring_back(self, delay_s: float) -> float:
        """One attempt, after so long; how long to wait before the next."""
        await asyncio.sleep(delay_s)
        async with self._changing:
            if self._child is None:
                self.num_restarts += 1
                self._count_restart(self.name)
                try:
                    await self._put_in_place()
                    logs.info("process_restarted", name=self.name, pid=self._child and self._child.pid)
                except Unavailable as error:
                    logs.warning("process_restart_failed", name=self.name, reason=str(error))
        return min(2 * delay_s, self._config.restart_max_s)

    async def _put_in_place(self) -> None:
        self._check_goes_on()
        child = await Child.start(self.name, self._command())
        self._children.add(child)
        child.tell(self._order)
        try:
            await self._wait_ready(child)
        except Unavailable:
            self._children.discard(child)
            raise
        self._child, self.is_ready, self.model = child, True, child.model
        self._silent_s, self._looked_at = 0.0, time.monotonic()
        self.away.end()
        self._on_ready(child)

    async def _wait_ready(self, child: Child) -> None:
        """Unavailable where it does not get ready, or is not wanted any more; then it has ended."""
        if self._is_stopped:  # while it was being made: nobody else ends it
            child.send(signal.SIGKILL)
        else:
            await child.wait_ready(self._config.max_engine_away_s)
        if self._is_stopped:
            await child.ended()
        self._check_goes_on()

    def _check_goes_on(self) -> None:
        if self._is_stopped:
            raise Unavailable(f"{self.name} is not started any more")

    async def _leave(self, child: Child, number: int, leave_s: float) -> None:
        status = await child.stop(leave_s, number)
        logs.info("process_left", name=self.name, pid=child.pid, status=status)
        self._children.discard(child)
        del self.leaving[child]
