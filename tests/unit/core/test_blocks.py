from __future__ import annotations

import pytest

from qtquant_app.core.blocks import Spot, spot


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.12.mlp.down_proj.weight", Spot("model.layers", 12, "mlp.down_proj")),
        ("model.layers.3.mlp.experts.17.up_proj.weight", Spot("model.layers", 3, "mlp.experts.*.up_proj")),
        ("model.layers.3.self_attn.q_proj.bias", Spot("model.layers", 3, "self_attn.q_proj.bias")),
        ("lm_head.weight", Spot("", None, "lm_head")),
        ("weight", Spot("", None, "weight")),
        ("h.\u00b2.weight", Spot("", None, "h.\u00b2")),
        ("h.99999999999999.weight", Spot("", None, "h.99999999999999")),
        ("experts.5", Spot("", None, "experts.*")),
    ],
)
def test_a_name_says_the_block_and_the_module_in_it(name: str, expected: Spot) -> None:
    assert spot(name) == expected
