"""What transformers and torch raise while a model runs, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtquant_app.core.errors import DeviceError, EvaluateError, QtQuantError


@contextmanager
def in_sentences(running: str, hint: str, short: str, short_hint: str) -> Iterator[None]:
    """Raises EvaluateError, "transformers cannot run `running`: ...", for what the model raises, and DeviceError for want of
    memory, which `short` says; each with its hint. Errors of ours pass."""
    import torch

    try:
        yield
    except QtQuantError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceError(short, hint=short_hint, code="memory") from error
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EvaluateError(f"transformers cannot run {running}: {said}", hint=hint, code="model") from error
