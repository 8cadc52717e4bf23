"""`qtquant_app.load`: a checkpoint of the plain format as a torch model, ready to run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtquant_app.core.errors import DeviceError, QtQuantError, SourceError, VerifyError
from qtquant_app.engine.device import resolve
from qtquant_app.engine.source import read_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_FORMAT = "qtquant"


def load(
    path: str | os.PathLike[str],
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> PreTrainedModel:
    """The model in the folder `path`, a checkpoint of the plain format, in evaluation mode on `device` (the CPU by default).

    It is of the class that config.json names, built on the meta device, its linear layers replaced by `QuantizedLinear`,
    which stay packed, and filled from the files. `dtype` is that of everything that is not packed, and of activations;
    None takes the checkpoint's. Experts of mixture-of-experts models are dequantized while loading, since transformers 5
    merges them into three-dimensional parameters: they are packed on disk only. No code from the checkpoint is run.

    Raises SourceError where the folder is no such checkpoint, VerifyError where its files are not what config.json says,
    naming the tensor, UsageError where `device` names none, and DeviceError where it is missing or full.
    """
    folder = Path(path).expanduser()
    config, chosen = _config(folder), resolve("cpu" if device is None else str(device))
    import qtquant_app.transformers  # noqa: F401 (registers the format)

    model_class = _model_class(config)
    with _sentences(folder, chosen):
        model, info = model_class.from_pretrained(
            str(folder),
            dtype=dtype or "auto",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            # Left out, it makes transformers ask on the terminal whether to run what the folder brings along.
            trust_remote_code=False,
            **_straight_to(chosen),
        )
        _check_complete(folder, info)
        return model.to(chosen)


def _straight_to(device: str) -> dict[str, Any]:
    """What makes transformers load straight to `device`, where accelerate lets it; else the model is moved afterwards."""
    from transformers.utils import is_accelerate_available

    return {"device_map": {"": device}} if device != "cpu" and is_accelerate_available() else {}


def _config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder", hint="load a folder that QtQuant wrote", code="not-found")
    if not (folder / "config.json").is_file():
        raise SourceError(
            f"{folder} has no config.json, so there is no model to build",
            hint="quantize the model's folder, not a weight file alone",
            code="no-config",
        )
    config = read_json(folder / "config.json")
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
    if method != _FORMAT:
        what = "is not quantized" if quantization is None else f"is a {method} checkpoint, not a qtquant one"
        raise SourceError(
            f"{folder} {what}",
            hint="load it with transformers' from_pretrained, or use --format qtquant",
            code="format",
        )
    return config


def _model_class(config: Mapping[str, Any]) -> Any:
    """The class that config.json names, transformers' own; AutoModel where it names none."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise _unknown("a model of the type", kind)
    names = config.get("architectures")
    if not names:
        return transformers.AutoModel
    name = names[0] if isinstance(names, list) else names
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        raise _unknown("the class", name)
    return found


def _unknown(what: str, name: object) -> SourceError:
    from transformers import __version__

    return SourceError(
        f"config.json names {what} {name!r}, which transformers {__version__} does not have",
        hint="upgrade transformers; code that comes with a checkpoint is never run",
        code="architecture",
    )


@contextmanager
def _sentences(folder: Path, device: str) -> Iterator[None]:
    """Turns what transformers and safetensors raise into one sentence."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except QtQuantError:
        raise
    except torch.OutOfMemoryError:
        raise DeviceError(f"{folder} does not fit into {device}", hint="load it on the CPU", code="memory") from None
    except (OSError, SafetensorError) as error:
        raise SourceError(f"{folder} cannot be read: {_line(error)}", hint="fetch it again", code="read") from None
    except Exception as error:
        raise VerifyError(
            f"transformers cannot build a model from {folder}: {_line(error)}",
            hint="check that config.json belongs to the weights, and that transformers is recent enough",
            code="load",
        ) from error


def _line(error: Exception) -> str:
    """A foreign message as the end of a sentence: its first line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _check_complete(folder: Path, info: Mapping[str, Any]) -> None:
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise VerifyError(
            f"{folder} holds no {missing[0]}{more}, which the model needs",
            hint="fetch or quantize it again; if it is meant to lack that, use from_pretrained of the class that fits",
            code="missing",
        )
