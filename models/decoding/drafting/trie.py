"""Trie drafts: what earlier outputs went on with, as a tree, the most frequent branches first.

Zhao et al. 2024, "Lookahead: An Inference Acceleration Framework for Large Language Model with Lossless Generation
Accuracy" (arXiv 2312.12728), for the part that is shared across requests; what the prompt holds is the copy drafter's.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from qdts.models.decoding.drafting.draft import ROOT, Draft


@dataclass(slots=True)
class _Node:
    """How often the tokens that lead here were written, and what followed."""

    count: int = 0
    next: dict[int, "_Node"] = field(default_factory=dict[int, "_Node"])

    def size(self) -> int:
        """Nodes from here on."""
        return 1 + sum(node.size() for node in self.next.values())

    def halve(self) -> None:
        """Forget half of the counts, and what is left with none."""
        self.next = {token: node for token, node in self.next.items() if node.count >= 2}
        for node in self.next.values():
            node.count //= 2
            node.halve()


class OutputTrie:
    """Runs of at most `branch_length` tokens of all outputs. Holds at most `max_nodes`: beyond it counts are halved,
    so that what is not seen again is forgotten. One thread at a time."""

    def __init__(self, *, branch_length: int = 12, max_nodes: int = 65_536) -> None:
        self.branch_length = branch_length
        self.max_nodes = max_nodes
        self.num_nodes = 0
        # Changes when nodes are dropped: whoever holds some has to let them go.
        self.num_prunings = 0
        self._root = _Node()

    def root(self) -> _Node:
        """Where every run begins."""
        return self._root

    def follow(self, node: _Node, token: int) -> _Node:
        """Count `token` after `node`."""
        if token not in node.next:
            node.next[token] = _Node()
            self.num_nodes += 1
        following = node.next[token]
        following.count += 1
        return following

    def prune(self) -> None:
        """Make room if there is none left."""
        while self.num_nodes > self.max_nodes:
            self._root.halve()
            self.num_nodes = self._root.size() - 1
            self.num_prunings += 1

    def find(self, tokens: Sequence[int]) -> _Node | None:
        """The node that `tokens` lead to."""
        node: _Node | None = self._root
        for token in tokens:
            node = None if node is None else node.next.get(token)
        return node

    def branches(self, node: _Node, max_tokens: int) -> Draft:
        """The most frequent continuations of a node, as one tree."""
        draft, number = Draft(), 0
        waiting = [(-following.count, number := number + 1, ROOT, token) for token, following in node.next.items()]
        nodes = dict(zip((entry[1] for entry in waiting), node.next.values(), strict=True))
        heapq.heapify(waiting)
        while waiting and len(draft) < max_tokens:
            _, key, parent, token = heapq.heappop(waiting)
            place = draft.add(token, parent)
            for following_token, following in nodes[key].next.items():
                number += 1
                nodes[number] = following
                heapq.heappush(waiting, (-following.count, number, place, following_token))
        return draft


class TrieDrafter:
    """Reads the shared trie after the longest of the last `max_match` tokens that it knows, and writes to it."""

    def __init__(self, trie: OutputTrie, *, min_match: int = 2, max_match: int = 4) -> None:
        self._trie = trie
        self._min_match, self._max_match = min_match, max_match
        self._written: list[int] = []
        # The runs that are being written, the longest first
        self._open: list[_Node] = []
        self._num_prunings = trie.num_prunings

    def draft(self, max_tokens: int) -> Draft:
        """The branches after what is written; nothing where fewer than `min_match` tokens are known."""
        for length in range(min(self._max_match, len(self._written)), self._min_match - 1, -1):
            node = self._trie.find(self._written[-length:])
            if node is not None and node.next:
                return self._trie.branches(node, max_tokens)
        return Draft()

    def observe(self, choices: Sequence[int]) -> None:
        """Nothing to learn from."""

    def extend(self, tokens: Sequence[int]) -> None:
        """Count every run that ends with each of these tokens."""
        if self._num_prunings != self._trie.num_prunings:
            self._open, self._num_prunings = [], self._trie.num_prunings
        for token in tokens:
            self._open = [self._trie.follow(node, token) for node in [*self._open, self._trie.root()]]
            self._open = self._open[-self._trie.branch_length + 1 :]
        self._written = [*self._written, *tokens][-self._max_match :]
        self._trie.prune()
