"""The part of the machine that each engine process gets, so that several do not run in each other's way."""

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, replace

from qdts.errors import ConfigError

_VISIBLE = "CUDA_VISIBLE_DEVICES"
ON_GPU = frozenset({"cuda", "tensorrt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one engine of several gets. `cores` empty: all; `device` None: as it is."""

    num_threads: int = 0
    cores: frozenset[int] = frozenset()
    device: str | None = None

    def take(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Keep this process to it; before a runtime is loaded."""
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)
        if self.device is not None:
            environment[_VISIBLE] = self.device


def share_of(
    index: int, engines: int, *, runtime: str, num_threads: int, cores: frozenset[int], visible: str | None = None
) -> Share:
    """Engine `index` of so many: a device each on GPUs, else as many of the cores each, a thread for each of them.

    `visible` is CUDA_VISIBLE_DEVICES, if that is set. ConfigError if there are fewer devices in it than engines.
    """
    if engines == 1:
        return Share(num_threads=num_threads)
    if runtime in ON_GPU:
        devices = visible.split(",") if visible else [str(number) for number in range(engines)]
        if len(devices) < engines:
            raise ConfigError(f"processes.engines = {engines}: {_VISIBLE} names only {len(devices)} devices")
        return Share(num_threads=num_threads, device=devices[index].strip())
    count = max(1, len(cores) // engines)
    mine = sorted(cores)[index * count : (index + 1) * count]
    return Share(num_threads=num_threads or count, cores=frozenset(mine))


def own_share(index: int, engines: int, *, runtime: str, num_threads: int) -> Share:
    """share_of this process."""
    cores = (
        frozenset(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else frozenset(range(os.cpu_count() or 1))
    )
    visible = os.environ.get(_VISIBLE)
    share = share_of(index, engines, runtime=runtime, num_threads=num_threads, cores=cores, visible=visible)
    return share if hasattr(os, "sched_setaffinity") else replace(share, cores=frozenset())
