"""Warming up runs the kernels of a preview, whatever dtypes a checkpoint has."""

from __future__ import annotations

import subprocess
import sys

from qtquant_app.engine.warm import warm_up
from tests.driving import finish

TEXT = """
from qtquant_app.engine.warm import warm_up
from qtquant_app.quant.kernels import fused, inspect, view
for _ in warm_up(["BF16"]):
    pass
kernels = (fused.quantize_rows, fused.extremes_rows, inspect.count_rows, inspect.error_rows, view.view_rows)
made = [list(kernel.signatures) for kernel in kernels]
assert all(len(signatures) == 1 for signatures in made), made
import sys
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.preview import preview
from qtquant_app.engine.source import open_checkpoint
for _ in preview(open_checkpoint("sample"), "model.layers.0.mlp.down_proj", Scheme(group_size=32), device="cpu"):
    pass
assert [kernel.signatures for kernel in kernels] == made, "a preview had to compile more"
assert "torch" not in sys.modules
"""


def test_what_each_dtype_is_worked_in_is_warmed_up_once() -> None:
    events, _ = finish(warm_up(["F16", "F8_E4M3", "F8_E5M2", "I64", "U4"]))
    assert len(events) == 3 * 4


def test_after_warming_up_a_preview_compiles_nothing() -> None:
    subprocess.run([sys.executable, "-c", TEXT], check=True)
