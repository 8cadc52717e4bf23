"""Importing this module teaches transformers the plain format: `AutoModel….from_pretrained(folder)` then reads it.

Linear layers of the loaded model are `QuantizedLinear` and stay packed in memory. Experts of mixture-of-experts models,
which transformers 5 merges into three-dimensional parameters, are dequantized at load: they are packed on disk only.
"""

from __future__ import annotations

from qtquant_app.engine.runtime.config import QtQuantConfig
from qtquant_app.engine.runtime.linear import QuantizedLinear
from qtquant_app.engine.runtime.quantizer import QtQuantHfQuantizer, register

__all__ = ["QtQuantConfig", "QtQuantHfQuantizer", "QuantizedLinear"]

register()
