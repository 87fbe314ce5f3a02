"""Nets of equal size that start alike."""

from dataclasses import replace

import numpy as np
import pytest

from qdts.errors import ConfigError
from qdts.loadtest.ablation.nets import (
    TOLERANCE,
    Scale,
    count_parameters,
    equal_config,
    inner_parameters,
    make_net,
    replace_vocabulary,
)
from qdts.loadtest.ablation.variants import VARIANTS, choose_variants
from qdts.models.lexicon import Lexicon
from qdts.models.tokenizer import SPECIAL_TOKENS

BASE_VARIANT = VARIANTS[0]


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    rng = np.random.default_rng(0)
    return Lexicon(rng.random(200, np.float32), rng.integers(-127, 128, (200, 24)).astype(np.int8))


def test_all_variants_have_the_same_number_of_inner_parameters() -> None:
    sizes = [inner_parameters(equal_config(variant, Scale(), BASE_VARIANT)) for variant in VARIANTS]
    assert all(abs(size - sizes[0]) <= TOLERANCE * sizes[0] for size in sizes)
    assert 1_000_000 < sizes[0] < 3_000_000


def test_inner_parameters_are_all_but_the_words(lexicon: Lexicon) -> None:
    for name in ("base", "decoder_only_aided"):
        config = replace(equal_config(choose_variants([name])[0], Scale(), BASE_VARIANT), vocab_size=200)
        net = make_net(config, lexicon, seed=0)
        assert count_parameters(net) == inner_parameters(config) + 200 * config.d_model
        assert inner_parameters(config) == inner_parameters(replace_vocabulary(config))


def test_embeddings_start_from_the_lexicon_as_loud_as_the_shape_has_them(lexicon: Lexicon) -> None:
    for name, loudness in (("base", 1.0), ("decoder_only_aided", 0.02)):
        config = replace(equal_config(choose_variants([name])[0], Scale(), BASE_VARIANT), vocab_size=200)
        first, second = (make_net(config, lexicon, seed).shared.weight.detach().numpy() for seed in (0, 1))
        words = slice(len(SPECIAL_TOKENS), None)
        cosines = np.corrcoef(first[words, :24].ravel(), lexicon.vectors[words].ravel())
        assert cosines[0, 1] > 0.999
        assert first[words].std() == pytest.approx(loudness, rel=0.1)
        assert not np.allclose(first[: words.start], second[: words.start])


def test_a_shape_that_cannot_be_made_equal_is_refused() -> None:
    deep = replace(BASE_VARIANT, name="deep", num_layers=40)
    with pytest.raises(ConfigError, match="deep: .* inner parameters at best"):
        equal_config(deep, Scale(), BASE_VARIANT)


def test_a_scale_out_of_bounds_names_field_and_bound() -> None:
    with pytest.raises(ConfigError, match="d_model must be a multiple of num_heads 4, is 130"):
        Scale(d_model=130)
    with pytest.raises(ConfigError, match="max_positions must be at least 1"):
        Scale(max_positions=0)
