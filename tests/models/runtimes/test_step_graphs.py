"""Which work is recorded, which graph is replayed: with a capture that notes addresses in place of CUDA's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qdts.models.runtimes.step_graphs import StepGraphs, Work


class Doubling:
    """Work on two buffers: out = 2 x. `done` counts how often it was computed, not replayed."""

    def __init__(self) -> None:
        self.given, self.out = torch.zeros(3), torch.zeros(3)
        self.done = 0

    def __call__(self) -> None:
        self.done += 1
        self.out.copy_(2 * self.given)


class Recorder:
    """Like a graph, a recording knows the memory of then and nothing else; recording computes nothing."""

    def __init__(self) -> None:
        self.recorded: list[Work] = []

    def __call__(self, work: Work) -> Work:
        assert isinstance(work, Doubling)
        self.recorded.append(work)
        given, out = work.given, work.out  # what lies there, not what the names come to mean

        def replay() -> None:
            out.copy_(2 * given)

        return replay


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def ask(graphs: StepGraphs, work: Doubling, value: float, key: str = "key") -> float:
    work.given.fill_(value)
    graphs.run(key, work)
    return float(work.out[0])


def test_the_second_time_is_recorded_and_the_third_replayed(recorder: Recorder) -> None:
    graphs, work = StepGraphs(recorder), Doubling()
    assert [ask(graphs, work, value) for value in (1, 2, 3, 4)] == [2, 4, 6, 8]
    assert (work.done, len(recorder.recorded)) == (2, 1)
    assert (graphs.num_captured, graphs.num_replayed) == (1, 2)


def test_a_graph_reads_the_buffers_it_was_recorded_with(recorder: Recorder) -> None:
    """So whoever replaces a buffer reads old numbers: what the tests of a runtime would notice."""
    graphs, work = StepGraphs(recorder), Doubling()
    for value in (1, 2):
        ask(graphs, work, value)
    work.given = torch.zeros(3)
    assert ask(graphs, work, 5) == 4


def test_another_key_is_another_graph(recorder: Recorder) -> None:
    graphs, works = StepGraphs(recorder), {"a": Doubling(), "b": Doubling()}
    for value in (1, 2, 3, 4):
        for shift, (key, work) in enumerate(works.items()):
            assert ask(graphs, work, value + 10 * shift, key) == 2 * (value + 10 * shift)
    assert recorder.recorded == list(works.values())


@pytest.mark.parametrize("off", ["no capture", "not enabled"])
def test_without_graphs_work_is_done_each_time(off: str, recorder: Recorder) -> None:
    graphs, work = StepGraphs(None if off == "no capture" else recorder), Doubling()
    graphs.enabled = False
    assert [ask(graphs, work, value) for value in (1, 2, 3)] == [2, 4, 6]
    assert (work.done, recorder.recorded, graphs.num_captured) == (3, [], 0)


def test_the_graphs_used_last_are_kept(recorder: Recorder) -> None:
    graphs, works = StepGraphs(recorder, limit=2), {key: Doubling() for key in "abc"}
    for key in "aabbacc":  # of a and b, b was used longer ago
        ask(graphs, works[key], 1, key)
    ask(graphs, works["a"], 1, "a")
    assert works["a"].done == 2
    ask(graphs, works["b"], 1, "b")
    assert works["b"].done == 3
    assert graphs.num_captured == 4, "b is recorded again"


def test_keys_seen_once_are_forgotten_in_time(recorder: Recorder) -> None:
    graphs, work = StepGraphs(recorder, limit=1), Doubling()
    for key in "abcdea":
        ask(graphs, work, 1, key)
    assert graphs.num_captured == 0


def test_isolated_work_is_what_is_recorded(recorder: Recorder) -> None:
    graphs, shared, own = StepGraphs(recorder), Doubling(), Doubling()
    made: list[Doubling] = []

    def isolate() -> Work:
        made.append(own)
        return own

    run: Callable[[], None] = lambda: graphs.run("key", shared, isolate)  # noqa: E731
    run()
    assert (shared.done, own.done, made) == (1, 0, [])
    own.given.fill_(4)
    run()
    assert (shared.done, own.done, float(own.out[0])) == (1, 1, 8), "done for real before it is recorded"
    run()
    assert (recorder.recorded, made) == ([own], [own])


def test_an_error_leaves_no_graph(recorder: Recorder) -> None:
    def broken(work: Work) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs, work = StepGraphs(broken), Doubling()
    ask(graphs, work, 1)
    with pytest.raises(RuntimeError, match="not permitted"):
        ask(graphs, work, 2)
    assert graphs.num_captured == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_graphs_replay_what_was_recorded() -> None:
    from qdts.models.runtimes.step_graphs import CudaCapture

    device = torch.device("cuda")
    with torch.cuda.stream(torch.cuda.Stream(device)):
        given, out = torch.zeros(3, device=device), torch.zeros(3, device=device)
        graphs, found = StepGraphs(CudaCapture(device)), list[Tensor]()

        def work() -> None:
            out.copy_(2 * given + 1)

        for value in (1, 2, 3, 4):
            given.fill_(value)
            graphs.run("key", work)
            found.append(out.cpu())
    assert [float(each[0]) for each in found] == [3, 5, 7, 9]
    assert graphs.num_replayed == 2
