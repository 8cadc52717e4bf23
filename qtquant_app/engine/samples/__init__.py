"""Samples to calibrate with and to judge by: what a model's forward is called with, from text, pictures, sounds, or chance."""

from __future__ import annotations

from qtquant_app.engine.samples.opening import open_samples
from qtquant_app.engine.samples.sequence import Samples

__all__ = ["Samples", "open_samples"]
