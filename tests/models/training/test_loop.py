"""Training lowers the loss, and a run that was cut short goes on as if nothing had happened."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qdts.errors import Unsupported
from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5, stack_bias
from qdts.models.training.config import FitTaskConfig, LoopConfig
from qdts.models.training.fit import FitTask
from qdts.models.training.loop import Trainer, compile_parts
from qdts.models.training.task import Outcome, batches_from

NetMaker = Callable[[], T5]
# What no two runs have alike.
TIMES = ("tokens_per_s", "mfu", "minutes")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config(tmp_path: Path) -> LoopConfig:
    return LoopConfig(
        out=tmp_path / "run",
        num_steps=40,
        warmup_steps=4,
        num_threads=1,
        log_every=1,
        learning_rate=0.01,
        embedding_rate=0.01,
        precision="fp32",
    )


@pytest.fixture
def task(data_dir: Path) -> FitTask:
    return FitTask(FitTaskConfig(data=(data_dir,), shares=(1.0,), tokens_per_batch=512))


@pytest.fixture
def fresh_net(make_net: Callable[..., T5]) -> NetMaker:
    """The same net again and again, with dropout."""
    return lambda: make_net(vocab_size=600, num_features=NUM_FEATURES).train()


def metrics(config: LoopConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]


def timeless(config: LoopConfig) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in metrics(config)]


def assert_same(left: nn.Module, right: nn.Module) -> None:
    for (name, expected), actual in zip(left.state_dict().items(), right.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_loss_falls(config: LoopConfig, task: FitTask, fresh_net: NetMaker, optimizer: Any) -> None:
    config = replace(config, optimizer=optimizer, peak_flops=1e12)
    assert Trainer(fresh_net(), task, config).run()
    rows = metrics(config)
    assert [row["step"] for row in rows] == list(range(1, 41))
    losses = [row["loss"] for row in rows]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    assert {"rate", "grad_norm", "tokens_per_s", "mfu", "marker_accuracy", "copied_loss"} <= rows[0].keys()
    assert [row["rate"] for row in rows] == pytest.approx([config.rate_at(step) for step in range(40)], rel=1e-5)
    tokens = [int(batch.mask.sum()) for batch in islice(task.batches(), 40)]
    assert rows[-1]["tokens"] == sum(tokens)


def test_the_loss_falls_in_bf16(config: LoopConfig, task: FitTask, fresh_net: NetMaker) -> None:
    """The weights stay fp32, and the loss is near that of fp32 without being it."""
    exact, rough = (replace(config, num_steps=12, precision=p, out=config.out / p) for p in ("fp32", "bf16"))
    net = fresh_net()
    Trainer(fresh_net(), task, exact).run()
    Trainer(net, task, rough).run()
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
    losses = [[row["loss"] for row in metrics(run)] for run in (exact, rough)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_position_biases_learn_now_and_then(config: LoopConfig, task: FitTask, fresh_net: NetMaker) -> None:
    net, seen = fresh_net(), []

    class Watched(Trainer):
        def _train_step(self, batch: Any) -> None:
            before = [table.weight.detach().clone() for table in tables]
            super()._train_step(batch)
            seen.append([not torch.equal(old, new.weight) for old, new in zip(before, tables, strict=True)])

    tables = [stack_bias(net.encoder.block), stack_bias(net.decoder.block)]
    Watched(net, task, replace(config, num_steps=5, position_bias_every=2)).run()
    assert seen == [[True, True], [False, False]] * 2 + [[True, True]]


class Killed(Trainer):
    """Checkpoints after step 3 and dies in step 6."""

    def save(self) -> None:
        if self.step_idx == 3:
            super().save()

    def _train_step(self, batch: Any) -> None:
        if self.step_idx == 5:
            raise KeyboardInterrupt
        super()._train_step(batch)


@pytest.mark.parametrize(("optimizer", "precision"), [("muon", "fp32"), ("adamw", "fp32"), ("muon", "bf16")])
def test_a_killed_run_resumes_bit_for_bit(
    config: LoopConfig, task: FitTask, fresh_net: NetMaker, optimizer: Any, precision: Any
) -> None:
    """Weights and rows, although the checkpoint fell in the middle of a row's interval."""
    config = replace(config, num_steps=8, optimizer=optimizer, precision=precision, checkpoint_minutes=0.0, log_every=2)
    config = replace(config, encoder_rate=1e-3, position_bias_every=3)
    straight_config = replace(config, out=config.out / "straight")
    straight, resumed = fresh_net(), fresh_net()
    Trainer(straight, task, straight_config).run()
    with pytest.raises(KeyboardInterrupt):
        Killed(fresh_net(), task, config).run()
    assert [row["step"] for row in metrics(config)] == [2, 4]
    torch.manual_seed(99)
    Trainer(resumed, task, config).run()
    assert_same(straight, resumed)
    assert [row["step"] for row in metrics(config)] == [2, 4, 6, 8]
    assert timeless(config) == timeless(straight_config)


def test_dropout_matters_to_that_test(fresh_net: NetMaker) -> None:
    assert fresh_net().config.dropout_rate > 0 and fresh_net().training


def test_a_row_cut_in_half_by_a_kill_is_left_out(config: LoopConfig, task: FitTask, fresh_net: NetMaker) -> None:
    config.out.mkdir(parents=True)
    (config.out / "metrics.jsonl").write_text('{"step": 1, "loss": 9.0}\n{"step": 2, "lo')
    config = replace(config, num_steps=3)
    Trainer(fresh_net(), task, config).run()
    assert [row["step"] for row in metrics(config)] == [1, 2, 3]


class Clock:
    """Stands still but for the steps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_run_ends_in_time_and_goes_on_later(
    config: LoopConfig, task: FitTask, fresh_net: NetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, num_steps=6)
    straight_config = replace(config, out=config.out / "straight")
    straight, pieces = fresh_net(), fresh_net()
    Trainer(straight, task, straight_config).run()
    clock = Clock()
    monkeypatch.setattr("qdts.models.training.loop.time", clock)

    class SlowTask:
        batches = task.batches

        def loss(self, net: nn.Module, batch: Any) -> Outcome:
            clock.now += 30.0
            return task.loss(net, batch)

    slow = SlowTask()
    assert not Trainer(fresh_net(), slow, replace(config, max_minutes=2.0)).run()
    assert torch.load(config.out / "checkpoint.pt", weights_only=True)["step"] == 4
    assert Trainer(pieces, slow, replace(config, max_minutes=2.0)).run()
    assert_same(straight, pieces)
    assert timeless(config) == timeless(straight_config)


def test_a_finished_run_has_nothing_left_to_do(config: LoopConfig, task: FitTask, fresh_net: NetMaker) -> None:
    config = replace(config, num_steps=2)
    first, second = fresh_net(), fresh_net()
    Trainer(first, task, config).run()
    assert Trainer(second, task, config).run()
    assert len(metrics(config)) == 2
    assert_same(first, second)


def test_a_checkpoint_is_whole_or_not_there(config: LoopConfig, task: FitTask, fresh_net: NetMaker) -> None:
    """A kill while saving leaves the last whole checkpoint, and what it left behind does no harm."""
    config = replace(config, num_steps=2)
    config.out.mkdir(parents=True)
    (config.out / "checkpoint.partial").write_bytes(b"half")
    Trainer(fresh_net(), task, config).run()
    assert torch.load(config.out / "checkpoint.pt", weights_only=True)["step"] == 2
    assert not (config.out / "checkpoint.partial").exists()


class Scalar(nn.Module):
    """The smallest net: one number."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(()))


class Counting:
    """Batches are 0, 1, 2, ...; the loss is the number times the net's value, or what `losses` says."""

    def __init__(self, breaks_at: int = 1000) -> None:
        self.breaks_at = breaks_at
        self.read: list[int] = []

    def batches(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    def loss(self, net: nn.Module, batch: int) -> Outcome:
        assert isinstance(net, Scalar)
        self.read.append(batch)
        loss = net.value * (float("nan") if batch == self.breaks_at else float(batch))
        report = {"odd": float("nan") if batch % 2 == 0 else torch.tensor(float(batch)), "always": 1.0}
        return Outcome(loss=loss, num_tokens=10, report=report, flops=5.0)


def test_a_task_that_cannot_seek_is_skipped(config: LoopConfig) -> None:
    first, second = Counting(), Counting()
    Trainer(Scalar(), first, replace(config, num_steps=3)).run()
    Trainer(Scalar(), second, replace(config, num_steps=5)).run()
    assert (first.read, second.read) == ([0, 1, 2], [3, 4])
    assert next(batches_from(Counting(), 7)) == 7


def test_a_row_is_the_mean_of_its_interval(config: LoopConfig) -> None:
    """What is not a number counts nowhere."""
    Trainer(Scalar(), Counting(), replace(config, num_steps=8, log_every=4, peak_flops=1.0)).run()
    rows = metrics(config)
    assert [(row["step"], row["odd"], row["always"], row["tokens"]) for row in rows] == [(4, 2, 1, 40), (8, 6, 1, 80)]
    assert all(row["mfu"] == pytest.approx(row["tokens_per_s"] * 5 / 10, rel=1e-4) for row in rows)


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoint(config: LoopConfig, log_every: int) -> None:
    config = replace(config, checkpoint_minutes=0.0, log_every=log_every)
    with pytest.raises(FloatingPointError, match="not finite at step 4: lower learning_rate"):
        Trainer(Scalar(), Counting(breaks_at=3), config).run()
    assert torch.load(config.out / "checkpoint.pt", weights_only=True)["step"] == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(config: LoopConfig) -> None:
    with pytest.raises(Unsupported, match="device cuda:1: torch sees 0 CUDA devices here"):
        Trainer(Scalar(), Counting(), replace(config, device="cuda:1"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own modules
def test_compiling_changes_neither_names_nor_values(fresh_net: NetMaker, task: FitTask) -> None:
    """What the compiler makes of the parts is not looked at: that they are what runs is."""
    plain, compiled = fresh_net().eval(), fresh_net().eval()
    compile_parts(compiled)
    ran: list[str] = []
    for name in ("encoder", "decoder"):
        part: Any = getattr(compiled, name)
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        assert part._compiled_call_impl is not None
    assert list(compiled.state_dict()) == list(plain.state_dict())
    batch = next(task.batches())
    with torch.compiler.set_stance("force_eager"):
        assert torch.equal(task.loss(compiled, batch).loss, task.loss(plain, batch).loss)
    assert ran == ["encoder", "encoder", "decoder"]  # document, query, summary
