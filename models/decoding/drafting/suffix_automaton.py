"""A suffix automaton that grows token by token and follows the longest suffix of what it reads that stood before.

Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text": at most 2 n states, amortised constant
time per token (times a dictionary lookup). Each state is a set of substrings that end at the same places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _State:
    """Substrings of `length` tokens and less, down to those of `link`; `end`: where the first occurrence ends."""

    length: int
    link: int
    end: int
    next: dict[int, int] = field(default_factory=dict[int, int])


class SuffixAutomaton:
    """All substrings of `text`, which only grows."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self._states = [_State(length=0, link=-1, end=-1)]
        self._last = 0
        # The state of the longest suffix of `text` that also ends earlier, and how long that is
        self._matched = 0
        self.match_length = 0

    def extend(self, tokens: Sequence[int]) -> None:
        """Read some tokens more."""
        for token in tokens:
            self._match(token)
            self._append(token)

    def reset_match(self) -> None:
        """What comes next has nothing before it: another text begins."""
        self._matched = self.match_length = 0

    def continuation(self, max_tokens: int) -> list[int]:
        """What followed the first occurrence of the matched suffix."""
        start = self._states[self._matched].end + 1
        return self.text[start : start + max_tokens] if self.match_length else []

    def _match(self, token: int) -> None:
        """Longest suffix of text + token that occurs in text."""
        state = self._matched
        while state > 0 and token not in self._states[state].next:
            state = self._states[state].link
            self.match_length = self._states[state].length
        following = self._states[state].next.get(token)
        if following is None:
            self._matched = self.match_length = 0
        else:
            self._matched, self.match_length = following, self.match_length + 1

    def _append(self, token: int) -> None:
        states = self._states
        self.text.append(token)
        new = self._add(_State(length=states[self._last].length + 1, link=0, end=len(self.text) - 1))
        state = self._last
        while state != -1 and token not in states[state].next:
            states[state].next[token] = new
            state = states[state].link
        if state != -1:
            states[new].link = self._split(state, token)
        self._last = new
        # A split may have moved the matched substring to a shorter state.
        while self._matched and states[states[self._matched].link].length >= self.match_length:
            self._matched = states[self._matched].link

    def _split(self, state: int, token: int) -> int:
        """The state of `state` + token alone, taken out of a longer one if need be."""
        states = self._states
        target = states[state].next[token]
        length = states[state].length + 1
        if states[target].length == length:
            return target
        old = states[target]
        twin = self._add(_State(length=length, link=old.link, end=old.end, next=dict(old.next)))
        while state != -1 and states[state].next.get(token) == target:
            states[state].next[token] = twin
            state = states[state].link
        old.link = twin
        return twin

    def _add(self, state: _State) -> int:
        self._states.append(state)
        return len(self._states) - 1
