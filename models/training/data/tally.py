"""What became of every row: counts by reason, and the rows written by source, licence and kind.

`report.json` and `sources.json` lie beside the data set; a card's table is made of the latter.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdts.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a written row comes from, and under which licence."""

    source: str
    licence: str
    kind: str


@dataclass(slots=True)
class Tally:
    """Counts of one run, or of a part of it: parts add up by `merge`."""

    # By file: rows read, and rows that could not be read.
    num_read: Counter[str] = field(default_factory=Counter[str])
    num_bad: Counter[str] = field(default_factory=Counter[str])
    # By file and reason.
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    written: Counter[Origin] = field(default_factory=Counter[Origin])
    # Of the written rows: negatives, joined, lead, and encoder tokens; markers chosen, by number.
    traits: Counter[str] = field(default_factory=Counter[str])
    markers: Counter[int] = field(default_factory=Counter[int])

    def drop(self, file: str, reason: str) -> None:
        """Count one row of `file` as dropped."""
        self.dropped[file, reason] += 1

    def merge(self, other: "Tally") -> None:
        """Add the counts of a part."""
        self.num_read.update(other.num_read)
        self.num_bad.update(other.num_bad)
        self.dropped.update(other.dropped)
        self.written.update(other.written)
        self.traits.update(other.traits)
        self.markers.update(other.markers)

    def sources(self) -> dict[str, Any]:
        """`rows` in all, and for each source and licence its rows, by kind."""
        tables: dict[tuple[str, str], Counter[str]] = {}
        for origin, count in self.written.items():
            tables.setdefault((origin.source, origin.licence), Counter())[origin.kind or "not stated"] += count
        return {
            "rows": self.written.total(),
            "sources": [
                {"source": source, "licence": licence, "rows": kinds.total(), "kinds": dict(sorted(kinds.items()))}
                for (source, licence), kinds in sorted(tables.items())
            ],
        }

    def report(self) -> dict[str, Any]:
        """Everything counted, as JSON has it."""
        reasons: Counter[str] = Counter()
        for (_, reason), count in self.dropped.items():
            reasons[reason] += count
        return {
            "read": self.num_read.total(),
            "bad": self.num_bad.total(),
            "dropped": dict(reasons.most_common()),
            "written": self.written.total(),
            "traits": dict(sorted(self.traits.items())),
            "markers": {str(number): self.markers[number] for number in sorted(self.markers)},
            "files": {file: self._of_file(file) for file in sorted(self.num_read)},
        }

    def _of_file(self, file: str) -> dict[str, Any]:
        dropped = {reason: count for (name, reason), count in sorted(self.dropped.items()) if name == file}
        return {"read": self.num_read[file], "bad": self.num_bad[file], "dropped": dropped}

    def write(self, directory: Path) -> None:
        """Write report.json and sources.json."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in (("report", self.report()), ("sources", self.sources())):
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            (directory / f"{name}.json").write_text(text, encoding="utf-8")


def licence_table(directory: Path) -> str:
    """The sources of a prepared data set as a Markdown table: source, rows, licence."""
    path = directory / "sources.json"
    if not path.is_file():
        raise ConfigError(f"{directory}: no sources.json; was it written by `qdts train prepare`?")
    sources = json.loads(path.read_text(encoding="utf-8"))["sources"]
    lines = [f"| {row['source']} | {row['rows']:,} | {row['licence']} |" for row in sources]
    return "\n".join(["| source | rows | licence |", "|---|---|---|", *lines])
