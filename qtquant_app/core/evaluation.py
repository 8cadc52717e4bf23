"""What a quantized model says beside its original, on one text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtquant_app.core.report import finite


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Perplexity of both, and how far the quantized model's predictions are from the original's, over the same tokens."""

    output: str
    base: str
    text: str
    """Where the text is from."""
    tokens: int
    """Tokens that were predicted: all of each window but its first."""
    windows: int
    seqlen: int
    base_perplexity: float
    perplexity: float
    """e to the mean negative log-probability of the text's own tokens."""
    kl: float
    """KL(original || quantized), the mean in nats a token."""
    kl_interval: float
    """Half the width of the mean's 95% confidence interval, from the spread between windows; 0 for a single one."""
    kl_p99: float
    """The 99th percentile over tokens."""
    top1_agreement: float
    """The part of tokens where both hold the same token to be the likeliest."""
    activations: str = "none"
    """`int8` or `fp8` where inputs of layers were quantized as the scheme says."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """CONTRACT's `evaluate` document; more keys stand beside those."""
        return {
            "output": self.output,
            "text": self.text,
            "base": {"path": self.base, "perplexity": finite(self.base_perplexity)},
            "quantized": {"perplexity": finite(self.perplexity)},
            "kl": finite(self.kl),
            "kl_interval": finite(self.kl_interval),
            "kl_p99": finite(self.kl_p99),
            "top1_agreement": self.top1_agreement,
            "tokens": self.tokens,
            "windows": self.windows,
            "seqlen": self.seqlen,
            "activations": self.activations,
            "seconds": self.seconds,
        }
