"""A draft: guessed tokens as a tree, each to be verified after its ancestors. Ids only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

ROOT = -1


class Odds(Enum):
    """What is known of a draft's chances. It decides nothing but whether verifying is worth its cost."""

    # Nothing else can follow.
    SURE = "sure"
    # A guess; where it is not verified now, the next step has a sure draft in its place.
    CAN_WAIT = "can wait"
    # A guess; where it is not verified now, the next step has no better one.
    OPEN = "open"


@dataclass(slots=True)
class Draft:
    """Token i follows token parents[i] < i, or, where that is ROOT, what is written. Siblings differ."""

    tokens: list[int] = field(default_factory=list[int])
    parents: list[int] = field(default_factory=list[int])
    odds: Odds = Odds.OPEN

    @classmethod
    def chain(cls, tokens: Iterable[int], odds: Odds = Odds.OPEN) -> "Draft":
        """Each token follows the one before."""
        listed = list(tokens)
        return cls(listed, list(range(-1, len(listed) - 1)), odds)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_chain(self) -> bool:
        """Does each token follow the one before?"""
        return self.parents == list(range(-1, len(self) - 1))

    def find(self, token: int, parent: int) -> int:
        """The index of `token` after `parent`; ROOT where it is not there."""
        for index in range(parent + 1, len(self)):
            if self.parents[index] == parent and self.tokens[index] == token:
                return index
        return ROOT

    def add(self, token: int, parent: int = ROOT) -> int:
        """The index of `token` after `parent`, which is added unless it is there."""
        known = self.find(token, parent)
        if known != ROOT:
            return known
        self.tokens.append(token)
        self.parents.append(parent)
        return len(self) - 1

    def graft(self, other: "Draft", max_tokens: int) -> list[int]:
        """Add the tokens of another draft while there are no more than `max_tokens`; where each stands, -1: nowhere.

        What both have is held once.
        """
        places: list[int] = []
        for token, parent in zip(other.tokens, other.parents, strict=True):
            below = places[parent] if parent != ROOT else ROOT
            is_cut = parent != ROOT and below == ROOT
            has_room = len(self) < max_tokens or self.find(token, below) != ROOT
            places.append(self.add(token, below) if has_room and not is_cut else ROOT)
        return places

    def children(self) -> list[list[int]]:
        """For each token its children, and at the end, where ROOT points, those that follow what is written."""
        found: list[list[int]] = [[] for _ in range(len(self) + 1)]
        for index, parent in enumerate(self.parents):
            found[parent].append(index)
        return found


def unmapped(choices: Sequence[int], places: Sequence[int]) -> list[int]:
    """The choices after the tokens of a draft that was grafted to `places` of another: UNKNOWN where it was cut."""
    return [UNKNOWN if place == ROOT else choices[place] for place in places]


# What a drafter is told where the net was not asked.
UNKNOWN = -1
