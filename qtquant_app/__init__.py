"""QtQuant: see, quantize, verify and save neural-network checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtquant_app.engine.load import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Loads `load` when it is asked for: torch takes over a second to import."""
    if name == "load":
        from qtquant_app.engine.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
