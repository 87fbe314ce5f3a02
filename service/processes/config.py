"""How many processes a server is, and where they meet."""

from dataclasses import dataclass

from qdts.service.limits import require_between


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessesConfig:
    """0 fronts: one process does everything. Else so many take calls, and the engines run the model."""

    fronts: int = 0
    engines: int = 1  # one per GPU, or per processor socket
    # Of the sockets between them, for this user only; "": a new one, removed at the end.
    directory: str = ""

    def __post_init__(self) -> None:
        require_between("processes.fronts", self.fronts, 0, 256)
        require_between("processes.engines", self.engines, 1, 64)
