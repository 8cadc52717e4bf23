"""A model's own tokenizer, image processor and feature extractor, by way of transformers; no code of the checkpoint is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.language_model import sentences, silent

_TOKENIZER = ("tokenizer", "vocab")
_TOKENIZER_ENDS = (".model", ".tiktoken", ".spm")
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")


def tokenizer_of(checkpoint: Checkpoint) -> Any:
    """Raises EvaluateError where there is none."""
    there = any(name.startswith(_TOKENIZER) or name.endswith(_TOKENIZER_ENDS) for name in checkpoint.carried_files)
    return _opened(checkpoint, "tokenizer", "tokenizer.json", there, "AutoTokenizer")


def image_processor_of(checkpoint: Checkpoint) -> Any:
    """What makes `pixel_values` of pictures. Raises EvaluateError where there is none."""
    return _opened(checkpoint, "image processor", _PROCESSOR[0], _processes(checkpoint), "AutoImageProcessor")


def feature_extractor_of(checkpoint: Checkpoint) -> Any:
    """What makes features of sounds. Raises EvaluateError where there is none."""
    return _opened(checkpoint, "feature extractor", _PROCESSOR[0], _processes(checkpoint), "AutoFeatureExtractor")


def processor_of(checkpoint: Checkpoint) -> Any | None:
    """What puts text and pictures or sounds together, where the model has such a thing."""
    if not _processes(checkpoint):
        return None
    import transformers

    with silent(), sentences(checkpoint, "cpu"):
        return transformers.AutoProcessor.from_pretrained(
            str(checkpoint.bring()), local_files_only=True, trust_remote_code=False
        )


def _processes(checkpoint: Checkpoint) -> bool:
    return any(name in checkpoint.carried_files for name in _PROCESSOR)


def _opened(checkpoint: Checkpoint, what: str, file: str, there: bool, auto: str) -> Any:
    if not there:
        raise EvaluateError(
            f"{checkpoint.label} has no {what}",
            hint=f"put {file} of the original model beside its weights, or calibrate knowingly with chance: `random`",
            code="model",
        )
    import transformers

    made: Callable[..., Any] = getattr(transformers, auto).from_pretrained
    with silent(), sentences(checkpoint, "cpu"):
        return made(str(checkpoint.bring()), local_files_only=True, trust_remote_code=False)
