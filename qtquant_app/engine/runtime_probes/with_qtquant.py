"""A result in `qtquant_app.load`."""

from __future__ import annotations

import sys
from typing import Any

from with_transformers import run as run  # type: ignore[import-not-found]


def load(request: dict[str, Any]) -> tuple[Any, str]:
    """The model in float32."""
    import torch

    torch.set_num_threads(request["threads"])
    sys.path.append(request["package_root"])
    from qtquant_app import load as load_result

    return load_result(request["model"], dtype="float32").eval(), ""
