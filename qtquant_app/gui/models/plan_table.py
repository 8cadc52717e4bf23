"""The columns of the recipe page: what becomes of each tensor, and what each rule matches."""

from __future__ import annotations

from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.quantities import bytes_text, shape_text
from qtquant_app.gui.models.rows import Column


def _what(tensor: TensorPlan) -> str:
    return tensor.scheme.label if tensor.scheme else "keep"


PLAN_COLUMNS = (
    Column("Tensor", lambda t: t.name, lambda t: t.name, "model.layers.88.mlp.down_proj"),
    Column("Shape", lambda t: shape_text(t.shape), lambda t: t.shape, "88888 \u00d7 8888", True),
    Column("Becomes", _what, _what, "W4 g128 asym"),
    Column("Before", lambda t: bytes_text(t.source_bytes), lambda t: t.source_bytes, "88.8 MB", True, unit="bytes"),
    Column("After", lambda t: bytes_text(t.bytes), lambda t: t.bytes, "88.8 MB", True, unit="bytes"),
    Column("Because", lambda t: t.reason, lambda t: t.reason, "the default scheme"),
)
"""Over TensorPlan."""
