"""One tensor of a scan: what is known of it, what is missing, and what it all comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.matrix import Matrix, matrix_of, slices
from qtquant_app.core.quantities import plural, shape_text
from qtquant_app.core.report import TensorReport
from qtquant_app.core.scan import TensorScan, TensorStats
from qtquant_app.core.scan_reports import RecalledReports, Size
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.holder import holder
from qtquant_app.engine.scan_cache import Known, PackedSums, scheme_key
from qtquant_app.quant.methods import check as check_method

_NOTHING = TensorStats(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0)


class Sizes:
    """What tensors take on disk under the schemes of a scan, each question asked once: a model repeats its shapes."""

    def __init__(self, schemes: Iterable[Scheme], format: str) -> None:
        self._schemes = tuple(schemes)
        self._format = format
        self._found: dict[object, tuple[tuple[Size, ...], str, tuple[bytes, ...]]] = {}

    def of(self, tensor: TensorInfo) -> tuple[tuple[Size, ...], str, tuple[bytes, ...]]:
        """Its sizes, in the order of the scan, why there are none, if there are none, and their keys."""
        # A layout looks at dtype, shape and kind; what it refuses, it refuses by name.
        key = (tensor.dtype, tensor.shape, tensor.kind)
        found = self._found.get(key)
        if found is None or not found[0]:
            found = self._found[key] = self._ask(tensor)
        return found

    def _ask(self, tensor: TensorInfo) -> tuple[tuple[Size, ...], str, tuple[bytes, ...]]:
        sizes, refusals = [], []
        for scheme in self._schemes:
            try:
                check_method(scheme)
                stored = holder(tensor, scheme, self._format).stored(tensor, scheme)
            except QtQuantError as error:
                refusals.append(error.message)
            else:
                sizes.append(Size(scheme, scheme_key(scheme), sum(part.nbytes for part in stored)))
        return tuple(sizes), "" if sizes or not refusals else refusals[0], tuple(size.key for size in sizes)


@dataclass(slots=True)
class Subject:
    """A tensor under way."""

    tensor: TensorInfo
    sizes: tuple[Size, ...]
    """Those of the schemes that it can take."""
    reason: str
    """Why there is no such scheme."""
    keys: tuple[bytes, ...] = ()
    """Of `sizes`, where there are any."""
    identity: bytes | None = None
    """What its file says of its bytes without being read."""
    content: bytes = b""
    """Its key in the cache, once its bytes are known."""
    known: Known | None = None
    refusals: dict[Scheme, str] = field(default_factory=dict)
    """Schemes that turned out not to work, and why."""

    @classmethod
    def of(cls, tensor: TensorInfo, sizes: Sizes) -> Subject:
        if tensor.quantizable:
            taken, reason, keys = sizes.of(tensor)
            return cls(tensor, taken, reason, keys)
        try:
            matrix_of(tensor)
        except QtQuantError as error:
            return cls(tensor, (), error.message, known=Known(_NOTHING))
        return cls(tensor, (), _why_kept(tensor))

    def matrices(self) -> Iterator[Matrix]:
        """The tensor, or its slices."""
        count = slices(self.tensor)
        return (matrix_of(self.tensor, index if count > 1 else None) for index in range(count))

    @property
    def missing(self) -> tuple[Scheme, ...]:
        """Schemes whose errors are not known yet."""
        if self.known is None:
            return tuple(size.scheme for size in self.sizes)
        sums = self.known.sums
        if self.known.stats.non_finite or self._as_remembered(sums):
            return ()
        return tuple(size.scheme for size in self.sizes if size.key not in sums and size.scheme not in self.refusals)

    @property
    def complete(self) -> bool:
        return self.known is not None and not self.missing

    def scan(self) -> TensorScan:
        """All that was found. It must be complete."""
        if self.known is None:
            raise ValueError(f"{self.tensor.name} has not been looked at")
        tensor, stats = self.tensor, self.known.stats
        reports = self._reports(self.known) if self.sizes and not stats.non_finite else ()
        return TensorScan(
            name=tensor.name,
            module=tensor.module,
            kind=tensor.kind,
            dtype=tensor.dtype,
            shape=tensor.shape,
            bytes=tensor.nbytes,
            stats=stats,
            reports=reports,
            skipped="" if reports else self._why_skipped(stats),
        )

    def _reports(self, known: Known) -> Sequence[TensorReport]:
        name, sums = self.tensor.name, known.sums
        if isinstance(sums, PackedSums) and self._as_remembered(sums):
            return RecalledReports(name, known.stats.weights, self.sizes, sums.records)
        refused = {scheme_key(scheme) for scheme in self.refusals}
        found = ((size, sums[size.key]) for size in self.sizes if size.key not in refused)
        return tuple(TensorReport(name, size.scheme, size.bytes, errors) for size, errors in found)

    def _as_remembered(self, sums: object) -> bool:
        """Whether the cache had just these schemes, in this order: what it said can be handed on as it is."""
        return isinstance(sums, PackedSums) and sums.order == self.keys

    def _why_skipped(self, stats: TensorStats) -> str:
        if stats.non_finite and self.sizes:
            holds = plural(stats.non_finite, "weight that is", "weights that are")
            return f"{self.tensor.name} holds {holds} NaN or infinite: no scale fits those"
        return self.reason or next(iter(self.refusals.values()), "no scheme was asked for")


def _why_kept(tensor: TensorInfo) -> str:
    if tensor.tied_to is not None:
        return f"{tensor.name} shares its bytes with {tensor.tied_to}"
    what = f"{tensor.kind.value}, {tensor.dtype} {shape_text(tensor.shape)}"
    return f"{tensor.name} is not quantized: {what}"
