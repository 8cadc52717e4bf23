"""What a predicted error is called, and in what it is counted: nats a token where a text was read, else a number to compare by."""

from __future__ import annotations

from qtquant_app.core.quantities import figure

NATS = "nats a token"


def error_name(calibrated: bool) -> str:
    """`predicted KL divergence` where a text was read, else `predicted error`."""
    return "predicted KL divergence" if calibrated else "predicted error"


def amount_text(error: float, calibrated: bool) -> str:
    """The figure, with its unit where it has one."""
    return f"{figure(error)} {NATS}" if calibrated else figure(error)


def error_text(error: float, calibrated: bool) -> str:
    """`predicted KL divergence 0.012 nats a token`, or `predicted error 0.34`."""
    return f"{error_name(calibrated)} {amount_text(error, calibrated)}"


def axis_title(calibrated: bool) -> str:
    """The name with the unit behind it."""
    return f"{error_name(calibrated)}, {NATS}" if calibrated else error_name(calibrated)
