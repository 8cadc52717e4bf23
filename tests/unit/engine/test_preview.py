"""Previews: the numbers of a run, without the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.preview import preview
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import plan_for, quantize, result

LAYER = "model.layers.0.mlp.down_proj.weight"
SCHEMES = [
    Scheme(bits=3, group_size=32, symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(bits=4, strategy="tensor", group_size=None),
    Scheme(bits=2, group_size=64, method="mse"),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label)
@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
def test_a_preview_and_a_run_agree_to_the_last_digit(tmp_path: Path, scheme: Scheme, format: str) -> None:
    source = small_llama(tmp_path / "m")
    if format == "qtquant" and scheme.bits == 3:
        with pytest.raises(PlanError):
            plan_for(source, scheme, format)
        return
    shown = result(preview(open_checkpoint(source), LAYER, scheme, format=format, device="cpu"))
    written = next(t for t in quantize(source, tmp_path / "out", scheme, format).tensors if t.name == LAYER)
    assert shown.errors == written.errors and shown.bytes == written.bytes


def test_the_pictures_add_up_to_the_numbers(tmp_path: Path) -> None:
    shown = result(preview(open_checkpoint(small_llama(tmp_path / "m")), LAYER, SCHEMES[0], device="cpu"))
    assert shown.error_map.shape == (64, 4) and shown.map_columns_per_cell == 32
    assert shown.error_map.max() == np.float32(shown.errors.max_error)
    assert shown.histogram_counts.sum() == shown.errors.weights == 64 * 128
    assert shown.channel_relative_error.shape == (64,) and shown.group_relative_error.shape == (4,)
    assert len(shown.levels) == 8 and (np.diff(shown.levels) > 0).all()
    assert shown.histogram_edges[0] == shown.weight_range[0] and shown.histogram_edges[-1] == shown.weight_range[1]


def test_a_layer_that_is_not_there_or_cannot_be_quantized_is_refused(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    with pytest.raises(UsageError, match="no layer 'nothing'"):
        result(preview(checkpoint, "nothing", SCHEMES[0]))
    with pytest.raises(PlanError, match=r"model\.norm\.weight cannot be quantized"):
        result(preview(checkpoint, "model.norm", SCHEMES[0]))
