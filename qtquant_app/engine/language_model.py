"""A checkpoint as a language model that runs, by way of transformers; no code of the checkpoint is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import DeviceError, EvaluateError
from qtquant_app.core.quantities import bytes_text
from qtquant_app.engine.experts.joining import joined
from qtquant_app.engine.memory import available_bytes
from qtquant_app.engine.packed.whole import all_weights, as_float
from qtquant_app.engine.text import Text
from qtquant_app.engine.windows import windows
from qtquant_app.formats.reader_names import reader_names

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_WITHOUT = "go on without a text: predictions then come from the weights alone"
_SPARE = 512 << 20
"""Bytes for activations and for torch itself."""


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model of transformers in evaluation mode, its weights frozen, beside its tokenizer."""

    label: str
    net: Any
    tokenizer: Any
    device: str

    def windows(self, text: Text, count: int, length: int) -> list[Tensor]:
        """At most `count` windows of `length` token ids, [length] int64, spread over `text`; the last ones may be missing.

        Each begins as the tokenizer begins a text. A text too short for one gives a single shorter one. Raises EvaluateError
        where it has fewer than 32 tokens.
        """
        found = windows(self.tokenizer, text, count, length, label=self.label)
        return [ids.to(self.device) for ids in found]

    def log_probabilities(self, ids: Tensor) -> Tensor:
        """What it says comes next after each of `ids` [n]: natural logarithms, [n, vocabulary] float32."""
        import torch

        with torch.no_grad():
            return torch.log_softmax(self.net(ids[None], use_cache=False).logits[0].float(), -1)


def open_language_model(
    checkpoint: Checkpoint,
    device: str = "cpu",
    weights: Mapping[str, Tensor] | None = None,
    *,
    copies: int = 1,
    dtype: torch.dtype | None = None,
) -> LanguageModel:
    """The model of `checkpoint` on `device`; with `weights` instead of the files', by the checkpoint's names.

    `copies` says how many such models there has to be room for. In `dtype`; if there is none, in float32 on the CPU, and in the
    checkpoint's own elsewhere.
    Raises EvaluateError where transformers has no causal language model for it, where it has no tokenizer, or where something
    in it cannot be loaded; DeviceError where memory is short.
    """
    _check(checkpoint, device, copies, 4 if dtype is None else dtype.itemsize)
    import torch
    import transformers

    root = str(checkpoint.bring())
    wanted: torch.dtype | str = dtype or (torch.float32 if device == "cpu" else "auto")
    tokenizer = open_tokenizer(checkpoint)
    with silent(), sentences(checkpoint, device):
        config = transformers.AutoConfig.from_pretrained(root, local_files_only=True, trust_remote_code=False)
        if checkpoint.packed_by:
            config, weights = as_float(config), weights or all_weights(checkpoint)
        elif checkpoint.remote is not None:
            weights = weights or all_weights(checkpoint)
        net = _loaded(checkpoint, config, wanted, weights)
        net = net.eval().requires_grad_(False).to(device)
    return LanguageModel(checkpoint.label, net, tokenizer, device)


def open_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of transformers. Raises EvaluateError where there is none, or where it cannot be loaded."""
    import transformers

    with silent(), sentences(checkpoint, "cpu"):
        return transformers.AutoTokenizer.from_pretrained(
            str(checkpoint.bring()), local_files_only=True, trust_remote_code=False
        )


@contextmanager
def sentences(checkpoint: Checkpoint, device: str) -> Iterator[None]:
    """What transformers and torch raise, as errors of ours."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _short(checkpoint, device) from error
    except Exception as error:
        raise EvaluateError(
            f"transformers cannot run {checkpoint.label}: {_first_line(error)}",
            hint=_WITHOUT,
            code="model",
        ) from error


@contextmanager
def silent() -> Iterator[None]:
    """Keeps transformers from drawing bars and warning on the terminal, which is not the engine's to write on."""
    from transformers.utils import logging

    drawing, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if drawing:
            logging.enable_progress_bar()


def _loaded(checkpoint: Checkpoint, config: Any, dtype: Any, weights: Mapping[str, Tensor] | None) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if weights is None:
        return AutoModelForCausalLM.from_pretrained(
            str(checkpoint.root), config=config, dtype=dtype, local_files_only=True, trust_remote_code=False
        )
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return model_class.from_pretrained(None, config=config, state_dict=joined(weights, checkpoint.stacks), dtype=dtype)


def runnable(checkpoint: Checkpoint) -> str:
    """Why `checkpoint` cannot be run as a language model, in a sentence; empty where nothing speaks against it."""
    kind = checkpoint.config.get("model_type")
    if not kind:
        return f"{checkpoint.label} has no config.json that says what model it is"
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    if known is None or (checkpoint.architecture and checkpoint.architecture != known):
        return f"{checkpoint.architecture or kind} is no causal language model that transformers knows"
    if not any("tokenizer" in name or name.endswith((".model", ".tiktoken")) for name in checkpoint.carried_files):
        return f"{checkpoint.label} has no tokenizer"
    return ""


def _check(checkpoint: Checkpoint, device: str, copies: int, width: int) -> None:
    reason = runnable(checkpoint)
    if reason:
        raise EvaluateError(
            f"{reason}, so no text can be read with it",
            hint=_WITHOUT,
            code="model",
        )
    if device == "cpu" and _needed(checkpoint, copies, width) > available_bytes():
        raise _short(checkpoint, device, copies, width)


def _needed(checkpoint: Checkpoint, copies: int = 1, width: int = 4) -> int:
    """Its weights at `width` bytes each, and once more while they are put in."""
    return (copies + 1) * width * checkpoint.parameters + _SPARE


def _short(checkpoint: Checkpoint, device: str, copies: int = 1, width: int = 4) -> DeviceError:
    where = f"and {bytes_text(available_bytes())} are free" if device == "cpu" else f"and {device} has less"
    return DeviceError(
        f"running {checkpoint.label} takes {bytes_text(_needed(checkpoint, copies, width))} of memory, {where}",
        hint=_WITHOUT,
        code="memory",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def linear_layers(net: Any, checkpoint: Checkpoint) -> dict[str, Any]:
    """The linear layer that each module of the checkpoint is in the model, where it is one."""
    from torch import nn

    names = reader_names(checkpoint.config, (tensor.name for tensor in checkpoint.tensors))
    linear = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    found = {}
    for module in checkpoint.quantizable_modules:
        own = names.linear.get(module, (module,))
        if module not in names.converted and len(own) == 1 and own[0] in linear:
            found[module] = linear[own[0]]
    return found
