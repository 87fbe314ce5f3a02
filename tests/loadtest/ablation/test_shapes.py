"""The full-size shapes by arithmetic."""

from qdts.loadtest.ablation.shapes import FULL_SIZE, full_size_costs, to_markdown


def test_shapes_have_the_size_they_are_named_for() -> None:
    assert all(85e6 < cost.parameters < 125e6 for cost in full_size_costs())


def test_a_decoder_only_net_reads_the_document_through_all_layers() -> None:
    costs = {cost.name: cost for cost in full_size_costs()}
    seed = costs["decoder-only, 12 layers"]
    assert costs["12+2"].gflop_known < 0.5 * costs["12+2"].gflop_cold
    assert costs["12+2"].gflop_known < costs["6+6"].gflop_known < costs["6+6"].gflop_cold
    # 2 FLOPs per inner parameter and token, and the rest is attention and the output layer.
    assert 1 < seed.gflop_cold * 1e9 / (2 * 85e6 * 569) < 1.3


def test_drafts_save_reading_weights() -> None:
    assert all(cost.numbers_moved_known < 0.2 * cost.numbers_moved_undrafted for cost in full_size_costs())


def test_the_table_has_a_row_per_shape() -> None:
    assert len(to_markdown(full_size_costs()).splitlines()) == 2 + len(FULL_SIZE)
