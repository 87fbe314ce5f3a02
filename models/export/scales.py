"""One scale for a whole activation tensor, from calibrated inputs. Engines with static scales need it.

minmax: the largest value seen. percentile: a quantile of the absolute values, so that one outlier does not cost all
others their precision (Wu et al. 2020, arXiv 2004.09602, section 4). mse: the clip with the least squared error on
the kept rows (Nagel et al. 2021, arXiv 2106.08295, section 3.1). Knows nothing of graphs.
"""

from collections.abc import Callable

import ml_dtypes
import numpy as np
import numpy.typing as npt

from qdts.models.export.calibration import Inputs
from qdts.models.export.config import ExplicitConfig

Floats = npt.NDArray[np.float32]
Rounding = Callable[[Floats], Floats]

INT8_LIMIT = 127.0
FP8_LIMIT = 448.0  # the largest finite E4M3FN (Micikevicius et al. 2022, arXiv 2209.05433, table 1)
# The clip may be this far below the largest value: T5's feed-forward has outliers of a hundred times its scale.
_SHARES = tuple(float(share) for share in np.geomspace(1.0, 0.02, 40))


def round_int8(values: Floats) -> Floats:
    """Integers in [-127, 127], as float32; -128 is left out so that both signs reach equally far."""
    return np.clip(np.rint(values), -INT8_LIMIT, INT8_LIMIT)


def round_fp8(values: Floats) -> Floats:
    """The nearest E4M3FN number, saturating at 448, as float32."""
    return np.clip(values, -FP8_LIMIT, FP8_LIMIT).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)


def activation_scale(inputs: Inputs, config: ExplicitConfig, *, limit: float, rounding: Rounding) -> float:
    """What a tensor is divided by before it is rounded; `limit` is the format's largest number."""
    if config.activations == "minmax":
        largest = inputs.peak
    elif config.activations == "percentile":
        largest = float(np.percentile(np.abs(inputs.rows), config.percentile))
    else:
        largest = _best_clip(inputs, limit, rounding)
    return max(largest, 1e-12) / limit


def _best_clip(inputs: Inputs, limit: float, rounding: Rounding) -> float:
    rows = inputs.rows
    errors = {}
    for share in _SHARES:
        scale = max(share * inputs.peak, 1e-12) / limit
        errors[share] = float(np.square(rounding(rows / scale) * scale - rows, dtype=np.float64).mean())
    return inputs.peak * min(errors, key=lambda share: errors[share])
