"""The readers of foreign files, which formats need too: see `core.foreign_files`."""

from __future__ import annotations

from qtquant_app.core.foreign_files import check_inside, portable, read_bounded, stays_inside

__all__ = ["check_inside", "portable", "read_bounded", "stays_inside"]
