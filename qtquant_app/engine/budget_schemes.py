"""What a budget chooses from unless told otherwise, for anybody and for given readers."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.budget_readers import Readers

ALLOWED: tuple[Scheme, ...] = (
    Scheme(bits=2, group_size=32, symmetric=False, method="mse"),
    Scheme(bits=2, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=3, group_size=128, symmetric=False, method="mse"),
    Scheme(bits=3, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=3, group_size=32, symmetric=False, method="mse"),
    Scheme(bits=4, group_size=128, symmetric=False, method="mse"),
    Scheme(bits=4, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=5, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=6, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=8, strategy="channel", group_size=None),
)
"""What a budget chooses from unless told otherwise; what does not fit a tensor is left out for it. Below 8 bits no scale
serves more than 128 columns: one for a whole channel does more harm than its error tells, and would be taken too often."""

SYMMETRIC: tuple[Scheme, ...] = (
    Scheme(bits=2, group_size=32, method="mse"),
    Scheme(bits=3, group_size=128, method="mse"),
    Scheme(bits=3, group_size=64, method="mse"),
    Scheme(bits=3, group_size=32, method="mse"),
    Scheme(bits=4, group_size=128, method="mse"),
    Scheme(bits=4, group_size=64, method="mse"),
    Scheme(bits=4, group_size=32, method="mse"),
    Scheme(bits=5, group_size=64, method="mse"),
    Scheme(bits=6, group_size=64, method="mse"),
    Scheme(bits=8, strategy="channel", group_size=None),
)
"""In their place where a reader takes no asymmetric scheme among others."""

_PLAIN = (4096, 4096)


def schemes_for(runtimes: Iterable[str]) -> tuple[Scheme, ...]:
    """What a mix for all of `runtimes` is best chosen from: ALLOWED where they all read it, else what they do, symmetric ones too.

    Raises UsageError where a runtime is not known, or where none of the schemes is read by all.
    """
    readers = Readers(tuple(runtimes))
    plain = TensorPlan("layer.weight", "layer", Kind.LINEAR, "BF16", _PLAIN, "keep", None, 0, "", 0)
    if not any(readers.against(plain, scheme) for scheme in ALLOWED):
        return ALLOWED
    found = [scheme for scheme in (*ALLOWED, *SYMMETRIC) if not readers.against(plain, scheme)]
    return tuple(dict.fromkeys(found))
