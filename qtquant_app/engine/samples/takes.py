"""What a model is given when it runs, found from its class in transformers: the names of its forward's arguments."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.language_model import sentences, silent

_SOUNDS = ("input_features", "input_values")
_POSITIONS = ("max_position_embeddings", "max_target_positions")


@dataclass(frozen=True)
class Takes:
    """The config of a model and the class that runs it."""

    label: str
    config: Any
    model_class: Any

    @cached_property
    def names(self) -> frozenset[str]:
        """The arguments of its forward."""
        return frozenset(inspect.signature(self.model_class.forward).parameters)

    @property
    def images(self) -> bool:
        return "pixel_values" in self.names

    @property
    def sounds(self) -> str:
        """What it calls them; empty where it takes none."""
        return next((name for name in _SOUNDS if name in self.names), "")

    @property
    def answers(self) -> bool:
        """Whether a decoder of its own reads another text than the one at `input_ids`."""
        return "decoder_input_ids" in self.names and bool(getattr(self.config, "is_encoder_decoder", False))

    @property
    def reads(self) -> bool:
        return "input_ids" in self.names

    @property
    def text(self) -> bool:
        return self.reads or self.answers

    @property
    def masked(self) -> bool:
        """Whether it is told which tokens are text: what only goes on with a text needs no telling."""
        return not self.decoder_only and self.reads and "attention_mask" in self.names

    @property
    def decoder_only(self) -> bool:
        return self.model_class.can_generate() and not self.answers

    @property
    def longest(self) -> int | None:
        """Tokens that it has positions for; None where the config does not say."""
        text = self.config.get_text_config(decoder=self.answers and not self.reads)
        found = [getattr(text, name, None) for name in _POSITIONS]
        return min((size for size in found if isinstance(size, int) and size > 0), default=None)

    @property
    def vocabulary(self) -> int:
        return int(getattr(self.config.get_text_config(), "vocab_size", 0) or 0)

    @property
    def start(self) -> int | None:
        """The token that its decoder begins with."""
        generation = (getattr(self.config, name, None) for name in ("decoder_start_token_id", "bos_token_id"))
        return next((token for token in generation if isinstance(token, int)), None)


def takes_of(checkpoint: Checkpoint) -> Takes:
    """What the model of `checkpoint` takes. Raises EvaluateError where transformers does not know it; none of its code is run."""
    if not checkpoint.config.get("model_type"):
        raise _unknown(f"{checkpoint.label} has no config.json that says what model it is")
    import transformers

    with silent(), sentences(checkpoint, "cpu"):
        config = transformers.AutoConfig.from_pretrained(
            str(checkpoint.bring()), local_files_only=True, trust_remote_code=False
        )
    named = getattr(transformers, checkpoint.architecture, None) if checkpoint.architecture else None
    if not (inspect.isclass(named) and issubclass(named, transformers.PreTrainedModel)):
        named = transformers.MODEL_MAPPING.get(type(config), None)
    if named is None:
        raise _unknown(f"{checkpoint.architecture or config.model_type} is no model that transformers knows")
    takes = Takes(checkpoint.label, config, named)
    if not (takes.text or takes.images or takes.sounds):
        raise _unknown(f"{checkpoint.label} takes neither text nor images nor audio")
    return takes


def _unknown(message: str) -> EvaluateError:
    return EvaluateError(message, hint="choose a method that needs no calibration, such as mse or hqq", code="model")
