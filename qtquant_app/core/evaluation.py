"""What a quantized model gives beside its original, for the same inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtquant_app.core.continuation import Continuation
from qtquant_app.core.report import finite


@dataclass(frozen=True, slots=True)
class OutputAgreement:
    """How near one output of the quantized model is to the original's: `logits`, `last_hidden_state`, `image_embeds`."""

    name: str
    cosine: float
    """Of the angle between both at each position, the mean; of similarities between samples, that of all numbers at once."""
    relative_error: float
    """||own - original|| / ||original|| over all numbers."""
    top1_agreement: float | None = None
    """The part of positions where the largest logit is the same; None where the output is none."""
    kl: float | None = None
    """KL(original || quantized), the mean in nats a position."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cosine": finite(self.cosine),
            "relative_error": finite(self.relative_error),
            "top1_agreement": self.top1_agreement,
            "kl": None if self.kl is None else finite(self.kl),
        }


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast `qtquant_app.load` runs a result of the plain format here, beside the original in transformers. Tokens a second."""

    device: str
    dtype: str
    base_reading: float
    """A window of text at once."""
    base_writing: float
    """One token after another."""
    reading: float
    writing: float

    def to_json(self) -> dict[str, Any]:
        return {
            "runtime": "qtquant_app.load",
            "device": self.device,
            "dtype": self.dtype,
            "base": {"reading": self.base_reading, "writing": self.base_writing},
            "quantized": {"reading": self.reading, "writing": self.writing},
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How far a quantized model's outputs are from the original's, and perplexity of both where the model predicts text."""

    output: str
    base: str
    text: str
    """Where the samples are from."""
    tokens: int
    """Predictions that were judged: of a text all of each window but its first token; samples where the model predicts nothing."""
    windows: int
    """Samples."""
    seqlen: int
    """Tokens of the longest sample; 0 where there is no text."""
    base_perplexity: float | None
    perplexity: float | None
    """e to the mean negative log-probability of the text's own tokens; None for models and samples where that means nothing."""
    kl: float | None
    """KL(original || quantized), the mean in nats a token, or a position; None where the model gives no logits."""
    kl_interval: float | None
    """Half the width of the mean's 95% confidence interval, from the spread between samples; 0 for a single one."""
    kl_p99: float | None
    """The 99th percentile over tokens."""
    top1_agreement: float | None
    """The part of tokens where both hold the same one to be the likeliest."""
    activations: str = "none"
    """`int8` or `fp8` where inputs of layers were quantized as the scheme says."""
    seconds: float = 0.0
    kind: str = "text"
    """Of the samples: text, images, audio or mixed."""
    sha256: str = ""
    """Of the samples."""
    outputs: tuple[OutputAgreement, ...] = ()
    continuations: tuple[Continuation, ...] = ()
    speed: Speed | None = None
    streamed: bool = False
    """Whether both models were run block by block, or each whole in memory."""

    def to_json(self) -> dict[str, Any]:
        """CONTRACT's `evaluate` document; more keys stand beside those."""
        measured = self.measured()
        return {
            "output": self.output,
            **measured,
            "base": {"path": self.base, **measured["base"]},
            "continuations": [one.to_json() for one in self.continuations],
            "speed": None if self.speed is None else self.speed.to_json(),
            "streamed": self.streamed,
            "seconds": self.seconds,
        }

    def measured(self) -> dict[str, Any]:
        """What a record keeps: nothing of this machine, and nothing that another run of the same would not find."""
        return {
            "text": self.text,
            "kind": self.kind,
            "base": {"perplexity": _finite(self.base_perplexity)},
            "quantized": {"perplexity": _finite(self.perplexity)},
            "kl": _finite(self.kl),
            "kl_interval": _finite(self.kl_interval),
            "kl_p99": _finite(self.kl_p99),
            "top1_agreement": self.top1_agreement,
            "tokens": self.tokens,
            "windows": self.windows,
            "seqlen": self.seqlen,
            "activations": self.activations,
            "samples_sha256": self.sha256,
            "outputs": [output.to_json() for output in self.outputs],
        }


def _finite(value: float | None) -> float | None:
    return None if value is None else finite(value)
