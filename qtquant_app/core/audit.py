"""What an audit finds: somebody's quantized checkpoint held against the one it was made from, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from qtquant_app.core.report import ErrorSums, finite

Severity = Literal["wrong", "suspect", "note"]
"""The file is at fault; something is odd, and may be meant; something to know."""

State = Literal["quantized", "kept", "changed"]
"""Quantized; in float and what it was; in float and other than it was."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing: a sentence that names the tensor, with its numbers. `code` is stable."""

    code: str
    severity: Severity
    text: str
    tensors: tuple[str, ...]
    """All that it is about, by the base's names or, where the base lacks them, by the file's own."""
    weight: float = 0.0
    """How bad it is among findings of its severity."""

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "severity": self.severity, "text": self.text, "tensors": list(self.tensors)}


@dataclass(frozen=True, slots=True)
class AuditedTensor:
    """One tensor of both checkpoints: how it is stored in the quantized one, and how far it is from the base."""

    name: str
    other_name: str
    """What the quantized checkpoint calls it."""
    kind: str
    shape: tuple[int, ...]
    state: State
    layout: str
    """How it is stored: `gptq W4 g128 asym`, or the dtype of what is kept."""
    bytes: int
    """Bytes it takes in the quantized checkpoint."""
    errors: ErrorSums
    """Of finite weights alone."""
    non_finite: int = 0
    """Weights that decode to NaN or infinity."""
    groups: int = 0
    """Groups of weights that share a scale."""
    groups_off: int = 0
    """Those whose scale is not the one that codes and base call for."""
    scale_factor: float = 1.0
    """What the stored scales are times those that fit the base best, in the median of all groups."""
    rescaled_error: float | None = None
    """Relative error once rows or columns that were rescaled on purpose are scaled back; None where none were."""

    @property
    def bits_per_weight(self) -> float:
        count = self.errors.weights + self.non_finite
        return round(8 * self.bytes / count, 6) if count else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "other_name": self.other_name,
            "kind": self.kind,
            "shape": list(self.shape),
            "state": self.state,
            "layout": self.layout,
            "bytes": self.bytes,
            "bits_per_weight": self.bits_per_weight,
            **self.errors.to_json(),
            "non_finite": self.non_finite,
            "groups": self.groups,
            "groups_off": self.groups_off,
            "scale_factor": finite(self.scale_factor),
            "rescaled_error": self.rescaled_error,
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of `engine.audit.audit`."""

    other: str
    base: str
    method: str
    """What quantized it, as far as it says."""
    tensors: tuple[AuditedTensor, ...]
    """Those in both, in the base's order."""
    findings: tuple[Finding, ...]
    """The gravest first."""
    missing: tuple[str, ...]
    """Tensors of the base that the other lacks."""
    extra: tuple[str, ...]
    """Tensors that the base does not have."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with the file; what is suspect may be meant."""
        return not any(finding.severity == "wrong" for finding in self.findings)

    @property
    def quantized(self) -> tuple[AuditedTensor, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.state == "quantized")

    @property
    def errors(self) -> ErrorSums:
        """Of all quantized tensors, taken as one."""
        return ErrorSums.added(tensor.errors for tensor in self.quantized)

    @property
    def bits_per_weight(self) -> float:
        """Of all quantized tensors."""
        weights = sum(tensor.errors.weights + tensor.non_finite for tensor in self.quantized)
        return round(8 * sum(tensor.bytes for tensor in self.quantized) / weights, 6) if weights else 0.0

    def to_json(self) -> dict[str, Any]:
        """The document of `qtquant audit`.

        `{other, base, method, ok, bits_per_weight, mse, sqnr_db, relative_error, max_error, cosine (of all quantized tensors),
        findings: [{code, severity: wrong|suspect|note, text, tensors}], tensors: [{name, other_name, kind, shape,
        state: quantized|kept|changed, layout, bytes, bits_per_weight, mse, sqnr_db, relative_error, max_error, cosine, non_finite,
        groups, groups_off, scale_factor, rescaled_error}], missing: [name], extra: [name]}`.
        """
        return {
            "other": self.other,
            "base": self.base,
            "method": self.method,
            "ok": self.ok,
            "bits_per_weight": self.bits_per_weight,
            **self.errors.to_json(),
            "findings": [finding.to_json() for finding in self.findings],
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "missing": list(self.missing),
            "extra": list(self.extra),
        }


def ranked(findings: list[Finding]) -> tuple[Finding, ...]:
    """The gravest first."""
    order = get_args(Severity)
    return tuple(sorted(findings, key=lambda f: (order.index(f.severity), -f.weight, f.code, f.tensors)))
