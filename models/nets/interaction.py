"""Query-document features per document token, projected and added to the encoder's output."""

from torch import Tensor, nn

from qdts.models.nets.config import T5Config

_HIDDEN = 32


class Interaction(nn.Module):
    """hidden + wo(relu(wi features)): the only place where query-free states learn about the query."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi = nn.Linear(config.num_features, _HIDDEN)
        self.wo = nn.Linear(_HIDDEN, config.d_model, bias=False)
        nn.init.normal_(self.wi.weight, std=config.num_features**-0.5)
        nn.init.zeros_(self.wi.bias)
        nn.init.normal_(self.wo.weight, std=_HIDDEN**-0.5)

    def forward(self, hidden: Tensor, features: Tensor) -> Tensor:
        """(B, S, C) and (B, S, F) -> (B, S, C)"""
        return hidden + self.wo(self.wi(features).relu())
