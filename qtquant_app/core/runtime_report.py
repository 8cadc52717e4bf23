"""What a runtime makes of a result, beside our own dequantized model of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qtquant_app.core.escaping import visible
from qtquant_app.core.quantities import figure, percent
from qtquant_app.core.report import finite


@dataclass(frozen=True, slots=True)
class LogitDifference:
    """How far a runtime's logits lie from ours, over the tokens of a text."""

    relative: float
    """The root of the sum of squared differences over that of ours, each token's logits less their mean."""
    relative_worst: float
    """The same, for the token where it is largest."""
    kl: float
    """KL(ours || the runtime's), the mean in nats a token."""
    kl_worst: float
    top1_agreement: float
    """The part of tokens after which both hold the same one to be the likeliest."""

    def to_json(self) -> dict[str, Any]:
        return {
            "relative": finite(self.relative),
            "relative_worst": finite(self.relative_worst),
            "kl": finite(self.kl),
            "kl_worst": finite(self.kl_worst),
            "top1_agreement": self.top1_agreement,
        }


@dataclass(frozen=True, slots=True)
class RuntimeReport:
    """One result in one runtime. Words that come from the runtime have been made harmless for one line of text."""

    output: str
    base: str
    format: str
    runtime: str
    title: str
    loaded: bool
    tolerance: float
    tolerance_reason: str
    error: str = ""
    """Why there is no comparison, in the runtime's own last words; empty where there is one."""
    option: str = ""
    """What had to be said for it to load; empty where nothing had to."""
    python: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    tokens: int = 0
    """Of the text that both read."""
    difference: LogitDifference | None = None
    continued: str = ""
    own_continued: str = ""
    """The likeliest tokens that follow the text, as text: the runtime's and ours."""
    new_tokens: int = 0
    same_tokens: int = 0
    """How many of those that follow are the same, up to the first that is not."""
    tokenization: str = ""
    """How its own vocabulary takes the text apart, where that is not as the base's tokenizer does."""
    seconds_to_load: float = 0.0
    seconds: float = 0.0
    """To read the text and go on with it."""
    peak_ram_bytes: int = 0

    @property
    def agrees(self) -> bool:
        """Whether it computes the model that was written, up to its own noise."""
        return self.difference is not None and self.difference.relative <= self.tolerance and not self.tokenization

    @property
    def version(self) -> str:
        """That of the package that counts."""
        return next(iter(self.versions.values()), "")

    @property
    def verdict(self) -> str:
        """One sentence for people."""
        if self.difference is None:
            done = "loads it, but does not run it" if self.loaded else "does not load it"
            return f"{self.title} {self.version} {done}: {self.error}"
        if not self.agrees and self.tokenization:
            return f"{self.title} {self.version} loads it, and its vocabulary differs: {self.tokenization}"
        said, allowed = percent(self.difference.relative), percent(self.tolerance)
        does = "computes the model that was written" if self.agrees else "computes something else"
        return f"{self.title} {self.version} {does}: its logits differ by {said}, and {allowed} is its own noise"

    def to_json(self) -> dict[str, Any]:
        """The `runtime` part of the verify document."""
        return {
            "output": self.output,
            "base": self.base,
            "format": self.format,
            "runtime": self.runtime,
            "loaded": self.loaded,
            "agrees": self.agrees,
            "error": self.error,
            "option": self.option,
            "python": self.python,
            "versions": dict(self.versions),
            "tokens": self.tokens,
            "difference": None if self.difference is None else self.difference.to_json(),
            "tolerance": self.tolerance,
            "tolerance_reason": self.tolerance_reason,
            "continued": self.continued,
            "own_continued": self.own_continued,
            "new_tokens": self.new_tokens,
            "same_tokens": self.same_tokens,
            "tokenization": self.tokenization,
            "seconds_to_load": finite(round(self.seconds_to_load, 3)),
            "seconds": finite(round(self.seconds, 3)),
            "peak_ram_bytes": self.peak_ram_bytes,
        }

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table of two columns, the verdict aside."""
        rows = [("versions", ", ".join(f"{name} {version}" for name, version in self.versions.items()))]
        if self.option:
            rows.append(("loads with", self.option))
        if self.difference is not None:
            both = f"{self.same_tokens} of {self.new_tokens}"
            rows += [
                ("relative difference of logits", percent(self.difference.relative)),
                ("of the worst token", percent(self.difference.relative_worst)),
                ("KL divergence, nats a token", figure(self.difference.kl)),
                ("same likeliest token", f"{percent(self.difference.top1_agreement)} of {self.tokens}"),
                ("same continuation", f"{both} tokens"),
                ("it goes on", visible(self.continued)),
            ]
            if self.same_tokens < self.new_tokens:
                rows.append(("ours goes on", visible(self.own_continued)))
        return rows
