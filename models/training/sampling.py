"""Summaries sampled from the net under the copy constraint: what the policy would really write.

Encodes each prompt once. Samples that have made the same decisions so far are one path: the net reads it once, and
forced runs between decisions go through the decoder in one pass. A draw depends on its seed, never on the batch.
Temperature 0 is greedy decoding. Knows nothing of rewards.

Shapes: B prompts · R open paths · S encoder tokens · T new tokens of a path · P cached slots · K options · C hidden.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from qdts.models.copy_source import copy_state, quote_piece
from qdts.models.decoding.copying import CopyState
from qdts.models.nets.layers import KeyValue, StepLayout
from qdts.models.nets.t5 import T5
from qdts.models.prompt import Prompt
from qdts.models.runtimes.base import Floats, Ids
from qdts.models.runtimes.batching import pad_floats, pad_ids
from qdts.models.runtimes.choice import greedy_choice
from qdts.models.training.policy import Walk, device_of
from qdts.models.training.reading import pad_queries, read_documents


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How many summaries are drawn from a prompt, and how: softmax of logits / temperature, cut to a nucleus.

    `top_p` keeps the likeliest options that together have this probability (Holtzman et al. 2020, "The Curious Case
    of Neural Text Degeneration").
    """

    num_samples: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 160

    def __post_init__(self) -> None:
        for name in ("num_samples", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be at least 0, is {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], is {self.top_p}")


GREEDY = SamplingConfig(num_samples=1, temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One summary, the text of its sentences, and how many of the draws it was."""

    walk: Walk
    sentences: tuple[str, ...]
    draws: tuple[int, ...]

    @property
    def tokens(self) -> list[int]:
        """The ids, markers and end included."""
        return self.walk.tokens.tolist()


class Sampler:
    """Draws summaries from one net, which is in evaluation mode meanwhile."""

    def __init__(self, net: T5, *, trims: bool) -> None:
        self._net = net
        self._trims = trims

    def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], config: SamplingConfig, *, with_greedy: bool = False
    ) -> list[list[Sample]]:
        """The different summaries drawn from each prompt, in the order of their first draw.

        `with_greedy` adds the greedy summary as draw -1, so it stands first.
        """
        paths: list[_Path] = []
        for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            draws = [_Draw(number, config, seed) for number in range(config.num_samples)]
            draws = [_Draw(-1, GREEDY, seed), *draws] if with_greedy else draws
            state = copy_state(prompt, trims=self._trims)
            paths.append(_Path(prompt=index, state=state, pending=prompt.prefix.tolist(), draws=draws))
        with evaluating(self._net):
            ended = self._follow(prompts, paths, config.max_tokens)
        return [_samples(prompt, ended[index]) for index, prompt in enumerate(prompts)]

    def greedy(self, prompts: Sequence[Prompt], max_tokens: int = 160) -> list[Sample]:
        """The greedy option at every decision: what `GreedyDecoder` writes."""
        config = SamplingConfig(num_samples=1, temperature=0.0, max_tokens=max_tokens)
        return [samples[0] for samples in self.sample(prompts, [0] * len(prompts), config)]

    def _follow(self, prompts: Sequence[Prompt], paths: Sequence["_Path"], max_tokens: int) -> dict[int, list["_Path"]]:
        """Every path to its ends, by prompt."""
        ended: dict[int, list[_Path]] = defaultdict(list)
        cache = _Cache(self._net, prompts)
        for path in paths:
            path.run(max_tokens)
        parents = list(range(len(paths)))
        while paths:
            open_ones = [index for index, path in enumerate(paths) if not path.ended]
            for path in paths:
                if path.ended:
                    ended[path.prompt].append(path)
            if not open_ones:
                break
            cache.select([parents[index] for index in open_ones])
            paths = [paths[index] for index in open_ones]
            scores = self._score(cache, paths)
            branches = [path.branch(row) for path, row in zip(paths, scores, strict=True)]
            parents = [index for index, group in enumerate(branches) for _ in group]
            paths = [path for group in branches for path in group]
            for path in paths:
                path.run(max_tokens)
        return ended

    def _score(self, cache: "_Cache", paths: Sequence["_Path"]) -> list[Floats]:
        """The logits of each path's options."""
        last = cache.extend([path.pending for path in paths])  # (R, C)
        vocabulary = np.unique(np.concatenate([path.options for path in paths]))
        ids = torch.as_tensor(vocabulary).to(last.device)
        logits = self._net.logits(last, ids).float().cpu().numpy()  # (R, U)
        return [row[np.searchsorted(vocabulary, path.options)] for row, path in zip(logits, paths, strict=True)]


@contextmanager
def evaluating(net: T5) -> Iterator[None]:
    """No dropout and no gradients inside; afterwards the net is in the mode it was in."""
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(was_training)


class _Draw:
    """One sample to be: its own source of chance."""

    def __init__(self, number: int, config: SamplingConfig, seed: int) -> None:
        self.number = number
        self._config = config
        self._rng = np.random.default_rng([seed, number + 1])

    def choose(self, options: Ids, logits: Floats) -> int:
        """One of the options (K,); at temperature 0 the greedy one."""
        if self._config.temperature == 0:
            return greedy_choice(options, logits)
        scaled = logits.astype(np.float64) / self._config.temperature
        probs = np.exp(scaled - scaled.max())
        probs /= probs.sum()
        order = np.argsort(-probs, kind="stable")
        mass = np.cumsum(probs[order])
        kept = int(np.searchsorted(mass, self._config.top_p * (1 - 1e-9))) + 1
        place = int(np.searchsorted(mass[:kept], self._rng.random() * mass[kept - 1], side="right"))
        return int(options[order[min(place, kept - 1)]])


@dataclass(slots=True, kw_only=True)
class _Path:
    """Samples that are the same so far. `pending` is written but not yet in the cache."""

    prompt: int
    state: CopyState
    pending: list[int]
    draws: list[_Draw]
    tokens: list[int] = field(default_factory=list[int])
    places: list[int] = field(default_factory=list[int])
    taken_from: list[Ids] = field(default_factory=list[Ids])
    # What the next token may be, once `run` has come to a decision.
    options: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    ended: bool = False

    def run(self, max_tokens: int) -> None:
        """Write what is forced, up to the next decision or the end."""
        while not self.state.finished and len(self.tokens) < max_tokens:
            self.options = self.state.allowed()
            if len(self.options) > 1:
                return
            self._write(int(self.options[0]))
        self.ended = True

    def branch(self, logits: Floats) -> "list[_Path]":
        """One path for each option that a draw chose."""
        chosen: dict[int, list[_Draw]] = defaultdict(list)
        for draw in self.draws:
            chosen[draw.choose(self.options, logits)].append(draw)
        return [self._take(token, draws) for token, draws in chosen.items()]

    def _take(self, token: int, draws: list[_Draw]) -> "_Path":
        twin = _Path(
            prompt=self.prompt,
            state=self.state.copy(),
            pending=[],
            draws=draws,
            tokens=list(self.tokens),
            places=[*self.places, len(self.tokens)],
            taken_from=[*self.taken_from, self.options],
        )
        twin._write(token)
        return twin

    def _write(self, token: int) -> None:
        self.state.advance(token)
        self.tokens.append(token)
        self.pending.append(token)


def _samples(prompt: Prompt, paths: Sequence[_Path]) -> list[Sample]:
    samples = [
        Sample(
            walk=Walk(
                tokens=np.array(path.tokens, np.int64),
                places=np.array(path.places, np.int64),
                options=tuple(path.taken_from),
            ),
            sentences=tuple(quote_piece(piece, prompt).text for piece in path.state.pieces),
            draws=tuple(draw.number for draw in path.draws),
        )
        for path in paths
    ]
    return sorted(samples, key=lambda sample: sample.draws[0])


class _Cache:
    """Keys and values of the documents, and of the tokens that each path has written."""

    def __init__(self, net: T5, prompts: Sequence[Prompt]) -> None:
        self._net = net
        self._device = device_of(net)
        ids, mask = pad_ids([prompt.encoder_ids for prompt in prompts])
        features = pad_floats([prompt.features for prompt in prompts], axis=0)
        arrays = (ids, mask, features, *pad_queries([prompt.prefix for prompt in prompts]))
        tensors = [torch.as_tensor(array).to(self._device) for array in arrays]
        self._mask = tensors[1]
        self._document = net.decoder.project(read_documents(net, *tensors)[0])
        self._past = [KeyValue(layer.key[:, :, :0], layer.value[:, :, :0]) for layer in self._document]
        self._lengths = torch.zeros(len(prompts), dtype=torch.long, device=self._device)

    def select(self, rows: Sequence[int]) -> None:
        """Row i is to be what row rows[i] was; a row may stand several times."""
        chosen = torch.tensor(rows, device=self._device)
        self._mask, self._lengths = self._mask[chosen], self._lengths[chosen]
        self._document = [KeyValue(layer.key[chosen], layer.value[chosen]) for layer in self._document]
        self._past = [KeyValue(layer.key[chosen], layer.value[chosen]) for layer in self._past]

    def extend(self, new_tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append each row's tokens; the decoder's states (R, C) after the last of them."""
        padded, _ = pad_ids([np.array(tokens, np.int64) for tokens in new_tokens])
        tokens = torch.as_tensor(padded).to(self._device)
        counts = torch.tensor([len(tokens) for tokens in new_tokens], device=self._device)
        layout = StepLayout.chain(self._lengths, tokens.shape[1])
        decoded, new = self._net.step(tokens, layout, self._mask, self._document, self._past)
        num_slots = self._past[0].key.shape[2]
        self._past = [
            KeyValue(*(self._compact(old, add, num_slots, counts) for old, add in zip(past, added, strict=True)))
            for past, added in zip(self._past, new, strict=True)
        ]
        self._lengths = self._lengths + counts
        return decoded[torch.arange(len(decoded), device=self._device), counts - 1]

    def _compact(self, past: Tensor, new: Tensor, num_slots: int, counts: Tensor) -> Tensor:
        """(R, H, P, D) and (R, H, T, D) -> each row's new slots right behind its old ones."""
        size = int((self._lengths + counts).max())
        slots = torch.arange(size, device=self._device)[None]
        # Slot s of a row is its old slot s, or new slot s - length, which stands at P + s - length.
        places = torch.where(slots < self._lengths[:, None], slots, slots - self._lengths[:, None] + num_slots)
        places = places.clamp(max=num_slots + new.shape[2] - 1)
        index = places[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
        return torch.cat([past, new], dim=2).gather(2, index)
