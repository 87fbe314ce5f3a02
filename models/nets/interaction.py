"""Query-document features per document token, projected and added to the encoder's output."""

from torch import Tensor, nn

HIDDEN = 32


class Interaction(nn.Module):
    """hidden + wo(relu(wi features)): the only place where query-free states learn about the query."""

    def __init__(self, num_features: int, d_model: int) -> None:
        super().__init__()
        self.wi = nn.Linear(num_features, HIDDEN)
        self.wo = nn.Linear(HIDDEN, d_model, bias=False)
        nn.init.normal_(self.wi.weight, std=num_features**-0.5)
        nn.init.zeros_(self.wi.bias)
        nn.init.normal_(self.wo.weight, std=HIDDEN**-0.5)

    def forward(self, hidden: Tensor, features: Tensor) -> Tensor:
        """(B, S, C) and (B, S, F) -> (B, S, C)"""
        return hidden + self.wo(self.wi(features).relu())
