"""The mean of several nets, and nets that have none refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qdts.errors import ConfigError
from qdts.models import checkpoint
from qdts.models.nets.t5 import T5
from qdts.models.training.average import AverageConfig, run_average


@pytest.fixture
def models(make_net: Callable[..., T5], tokenizer_path: Path, tmp_path: Path) -> list[Path]:
    """Three directories with nets of one shape."""
    found: list[Path] = []
    for seed in range(3):
        torch.manual_seed(seed)
        directory = tmp_path / f"model-{seed}"
        net = make_net()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_()
        checkpoint.save(net, directory)
        shutil.copyfile(tokenizer_path, directory / "tokenizer.json")
        found.append(directory)
    return found


def test_weights_are_the_mean(models: list[Path], tmp_path: Path) -> None:
    run_average(AverageConfig(models=tuple(models), out=tmp_path / "mean"))
    mean = checkpoint.load(tmp_path / "mean").state_dict()
    nets = [checkpoint.load(directory).state_dict() for directory in models]
    for name, tensor in mean.items():
        expected = torch.stack([net[name] for net in nets]).mean(0)
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-6)
    assert (tmp_path / "mean" / "tokenizer.json").is_file()


def test_a_model_with_itself_is_that_model(models: list[Path], tmp_path: Path) -> None:
    run_average(AverageConfig(models=(models[0], models[0]), out=tmp_path / "mean"))
    first = checkpoint.load(models[0]).state_dict()
    assert all(
        torch.equal(tensor, first[name]) for name, tensor in checkpoint.load(tmp_path / "mean").state_dict().items()
    )


def test_another_shape_or_tokenizer_is_refused(models: list[Path], make_net: Callable[..., T5], tmp_path: Path) -> None:
    (models[1] / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="model-1 has another shape or another tokenizer"):
        run_average(AverageConfig(models=(models[0], models[1]), out=tmp_path / "mean"))
    checkpoint.save(make_net(num_features=0), models[2])
    with pytest.raises(ConfigError, match="model-2 has another shape"):
        run_average(AverageConfig(models=(models[0], models[2]), out=tmp_path / "mean"))
    assert not (tmp_path / "mean").exists()


def test_one_model_has_no_mean(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="models must name two directories or more, names 1"):
        AverageConfig(models=(tmp_path,), out=tmp_path)
