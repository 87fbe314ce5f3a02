"""Updates are orthogonal, whatever the gradient's scale and shape."""

import pytest
import torch

from qdts.models.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8), (1, 5)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_singular_values_come_near_one(shape: tuple[int, int], scale: float) -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(0.3, 1.0, min(shape))
    found = torch.linalg.svdvals(orthogonalise(scale * left @ torch.diag(values) @ right))
    assert found.min() > 0.6 and found.max() < 1.3


def test_singular_vectors_stay() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(6, 4)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = left.T @ orthogonalise(matrix) @ right.T
    assert torch.allclose(aligned, torch.diag(aligned.diagonal()), atol=1e-4)
    assert (aligned.diagonal() > 0.6).all()


def test_nothing_stays_nothing() -> None:
    assert orthogonalise(torch.zeros(3, 5)).abs().max() == 0


def test_it_finds_a_minimum() -> None:
    torch.manual_seed(0)
    wanted, matrix = torch.randn(8, 16), torch.nn.Parameter(torch.zeros(8, 16))
    optimizer = Muon([matrix], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = (matrix - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert float((matrix.detach() - wanted).square().mean()) < 0.05 * float(wanted.square().mean())


def test_an_update_has_the_size_of_one_of_adamw() -> None:
    """Its root mean square is 0.2 times the rate, near enough."""
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.zeros(32, 128))
    matrix.grad = torch.randn(32, 128)
    Muon([matrix], lr=1.0).step()
    assert 0.1 < float(matrix.detach().square().mean().sqrt()) < 0.3


def test_weight_decay_shrinks_and_what_has_no_gradient_stays() -> None:
    decayed, still = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    decayed.grad = torch.zeros(4, 4)
    Muon([decayed, still], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(decayed, torch.full((4, 4), 0.95))
    assert torch.equal(still, torch.ones(4, 4))


def test_matrices_of_one_shape_are_done_together_and_each_on_its_own() -> None:
    """Three matrices of one shape and one of another: as if each had an optimiser of its own."""
    torch.manual_seed(0)
    shapes = [(8, 4), (8, 4), (4, 8), (8, 4)]
    together = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    alone = [torch.nn.Parameter(matrix.detach().clone()) for matrix in together]
    optimizers = [
        Muon(together, lr=0.1, weight_decay=0.1),
        *(Muon([matrix], lr=0.1, weight_decay=0.1) for matrix in alone),
    ]
    for _ in range(3):
        for one, other in zip(together, alone, strict=True):
            one.grad = torch.randn(one.shape) * 100
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_bf16_is_near_enough_and_parameters_keep_their_type() -> None:
    torch.manual_seed(0)
    exact, rough = (torch.nn.Parameter(torch.zeros(16, 32)) for _ in range(2))
    exact.grad = rough.grad = torch.randn(16, 32)
    Muon([exact], lr=1.0).step()
    Muon([rough], lr=1.0, bf16=True).step()
    assert rough.dtype == torch.float32 and not torch.equal(exact, rough)
    assert torch.allclose(exact, rough, atol=0.05)
