"""What the ablation compares."""

from dataclasses import fields

import pytest

from qdts.errors import ConfigError
from qdts.loadtest.ablation.variants import BASE, VARIANTS, Variant, choose_variants


def differences(first: Variant, second: Variant) -> set[str]:
    names = {field.name for field in fields(Variant)} - {"name", "group"}
    return {name for name in names if getattr(first, name) != getattr(second, name)}


def test_names_are_distinct_and_the_base_comes_first() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names) and names[0] == BASE


def test_a_variant_differs_from_the_base_in_one_thing_unless_it_is_about_the_shape() -> None:
    allowed = {"depth": {"num_layers", "num_decoder_layers"}, "objective": {"indexed_share"}, "base": set[str]()}
    for variant in VARIANTS:
        found = differences(variant, VARIANTS[0])
        if variant.group in allowed:
            assert found <= allowed[variant.group], variant.name
        elif variant.group != "shape":
            assert len(found) == 1, variant.name


def test_each_decoder_only_net_has_a_twin_with_the_same_prompts() -> None:
    twins = {"decoder_only_plain": "plain_joint", "decoder_only_aided": "joint_only"}
    for name, twin in twins.items():
        first, second = choose_variants([name, twin])
        assert "joint" in first.modes
        assert differences(first, second) <= {"family", "num_layers", "num_decoder_layers", "modes"}


def test_unknown_names_and_impossible_variants_are_refused() -> None:
    with pytest.raises(ConfigError, match="variants: '7\\+7' is not one of base, "):
        choose_variants([BASE, "7+7"])
    with pytest.raises(ConfigError, match="num_layers and indexed_share must be 0"):
        Variant(name="odd", group="shape", family="decoder_only")
    with pytest.raises(ConfigError, match=r"indexed_share must lie in \[0, 1\], is 2"):
        Variant(name="odd", group="objective", indexed_share=2)
