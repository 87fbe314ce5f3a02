"""Training lowers the loss, and a run that was cut short goes on as if nothing had happened."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qdts.models.interaction import NUM_FEATURES
from qdts.models.nets.t5 import T5
from qdts.models.training.config import TrainConfig
from qdts.models.training.loop import Trainer, make_optimizers, split_parameters

NetMaker = Callable[..., T5]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The loop sets the number of threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config(data_dir: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        model=tmp_path,
        data=(data_dir,),
        shares=(1.0,),
        out=tmp_path / "run",
        num_steps=40,
        warmup_steps=4,
        tokens_per_batch=512,
        num_threads=1,
        log_every=1,
        learning_rate=0.01,
        embedding_rate=0.01,
    )


@pytest.fixture
def fresh_net(make_net: NetMaker) -> Callable[[], T5]:
    """The same net again and again, with dropout."""
    return lambda: make_net(vocab_size=600, num_features=NUM_FEATURES).train()


def metrics(config: TrainConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_loss_falls(config: TrainConfig, fresh_net: Callable[[], T5], optimizer: Any) -> None:
    config = replace(config, optimizer=optimizer)
    Trainer(fresh_net(), config).run()
    rows = metrics(config)
    assert [row["step"] for row in rows] == list(range(1, 41))
    losses = [row["loss"] for row in rows]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    assert {"grad_norm", "tokens_per_s", "marker_accuracy", "copied_loss"} <= rows[0].keys()


class Killed(Trainer):
    """Checkpoints after step 3 and dies in step 6."""

    def save(self) -> None:
        if self.step_idx == 3:
            super().save()

    def _train_step(self, batch: Any) -> None:
        if self.step_idx == 5:
            raise KeyboardInterrupt
        super()._train_step(batch)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_killed_run_resumes_bit_for_bit(
    config: TrainConfig, fresh_net: Callable[[], T5], tmp_path: Path, optimizer: Any
) -> None:
    config = replace(config, num_steps=8, optimizer=optimizer, checkpoint_minutes=0.0)
    straight, resumed = fresh_net(), fresh_net()
    Trainer(straight, replace(config, out=tmp_path / "straight")).run()
    with pytest.raises(KeyboardInterrupt):
        Killed(fresh_net(), config).run()
    torch.manual_seed(99)
    Trainer(resumed, config).run()
    for (name, expected), actual in zip(straight.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name


def test_dropout_matters_to_that_test(fresh_net: Callable[[], T5]) -> None:
    assert fresh_net().config.dropout_rate > 0 and fresh_net().training


def test_a_finished_run_has_nothing_left_to_do(config: TrainConfig, fresh_net: Callable[[], T5]) -> None:
    config = replace(config, num_steps=2)
    first, second = fresh_net(), fresh_net()
    Trainer(first, config).run()
    Trainer(second, config).run()
    assert len(metrics(config)) == 2
    assert torch.equal(first.shared.weight, second.shared.weight)


def test_a_checkpoint_is_whole_or_not_there(config: TrainConfig, fresh_net: Callable[[], T5]) -> None:
    """A kill while saving leaves the last whole checkpoint, and what it left behind does no harm."""
    config = replace(config, num_steps=2)
    config.out.mkdir(parents=True)
    (config.out / "checkpoint.partial").write_bytes(b"half")
    Trainer(fresh_net(), config).run()
    assert torch.load(config.out / "checkpoint.pt", weights_only=True)["step"] == 2
    assert not (config.out / "checkpoint.partial").exists()


def test_only_matrices_inside_blocks_are_hidden(config: TrainConfig, fresh_net: Callable[[], T5]) -> None:
    net = fresh_net()
    hidden, rest = split_parameters(net)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    assert len(hidden) + len(rest) == len(names)
    assert all(".block." in names[id(p)] and p.ndim == 2 for p in hidden)
    outside = {names[id(p)] for p in rest if p.ndim == 2}
    assert outside == {
        "shared.weight",
        "interaction.wi.weight",
        "interaction.wo.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    }
    rates = [rate for _, rate in make_optimizers(net, replace(config, learning_rate=0.5, embedding_rate=0.25))]
    assert rates == [0.5, 0.25]
