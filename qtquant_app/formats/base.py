"""What a format is: how a quantized tensor lies on disk, what its readers refuse, and the words they need in config.json."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, nbytes
from qtquant_app.core.errors import UsageError
from qtquant_app.core.facts import Facts, Sharing, facts_of, looked_at
from qtquant_app.core.placement import Placement, Slot
from qtquant_app.core.plan import PlanWarning, Role, TensorPlan
from qtquant_app.core.runtimes import warned
from qtquant_app.core.scheme import Scheme

Bytes = NDArray[np.uint8]

_REGISTRY: dict[str, Format] = {}


class Stored(NamedTuple):
    """One tensor that a format stores for a quantized weight."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: Role

    @property
    def nbytes(self) -> int:
        return nbytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The small part of a quantized weight: what each group of codes is multiplied and shifted by.

    `scale` is [rows, groups] in the stored dtype ([1, 1] for a whole tensor), bfloat16 as its bits in uint16.
    `zero` is uint8 of the same shape, or None where the scheme is symmetric.
    """

    scale: NDArray[Any]
    zero: Bytes | None


class Format(ABC):
    """One on-disk layout. Subclassing it with a `name` registers it.

    The engine hands over codes as packed rows (uint8 [rows, row bytes], the dense little-endian bit stream, rows padded
    to `align` bytes) chunk by chunk, and scales and zero points whole; the format never sees a whole weight.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    extension: ClassVar[str] = ".safetensors"
    bits: ClassVar[tuple[int, ...]] = ()
    readers: ClassVar[tuple[str, ...]] = ()
    codes: ClassVar[tuple[str, ...]] = ("int",)
    """The kinds of codes it holds: "int", "float", and "layout" for named block layouts."""
    align: ClassVar[int] = 4
    layout_version: ClassVar[int] = 1
    """Raise it with any change of what is written for the same codes, scales and zero points: a run that an older QtQuant left
    unfinished is then not gone on with."""
    header_metadata: ClassVar[Mapping[str, str]] = {"format": "pt"}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            if cls.name in _REGISTRY:
                raise TypeError(f"two formats are called {cls.name!r}")
            _REGISTRY[cls.name] = cls()

    @property
    def available(self) -> bool:
        return not self.reason

    @property
    def reason(self) -> str:
        """Why the format cannot be written here; empty where it can."""
        return ""

    def refuses(self, tensor: TensorInfo, scheme: Scheme) -> str:
        """Why this layout cannot hold `tensor` under `scheme`, as the end of a sentence; empty where it can."""
        if scheme.layout is not None and "layout" not in self.codes:
            return f"{scheme.layout} is a block of GGUF files, and the {self.name} format has none"
        if scheme.layout is None and scheme.type not in self.codes:
            kind = "floating-point" if scheme.type == "float" else "plain integer"
            return f"the {self.name} format holds no {kind} codes"
        return ""

    @abstractmethod
    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        """The tensors on disk, one of role "codes" among them, whose rows are those of the weight."""

    @abstractmethod
    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        """Packed rows as the bytes of the "codes" tensor's rows."""

    @abstractmethod
    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        """The inverse of `encode_codes`."""

    @abstractmethod
    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        """The bytes of every stored tensor that is not the codes."""

    def rows_together(self, scheme: Scheme) -> int:
        """Parameters can be encoded and decoded apart for rows from a multiple of this on; what is stored of them is in order."""
        return 1

    @abstractmethod
    def decode_parameters(self, tensor: TensorInfo, scheme: Scheme, stored: Mapping[Role, Bytes]) -> Parameters:
        """The inverse of `encode_parameters`, from bytes as read. Raises ValueError where they contradict the plan."""

    @abstractmethod
    def place(self, tensor: TensorInfo, scheme: Scheme, row: int, column: int) -> Placement:
        """Where the code, the scale and the zero point of one weight lie among the stored tensors, to the bit."""

    @abstractmethod
    def quantization_config(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        """The `quantization_config` of config.json."""

    def warnings(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> tuple[PlanWarning, ...]:
        """What readers of this format will trip over, whichever of them it is for."""
        looked, apart = looked_at(tensors), self.taken_apart(checkpoint, tensors)
        facts: dict[Sharing, list[Facts]] = {}
        kinds: dict[Sharing, list[Facts]] = {}
        found = []
        for runtime, trap in warned(self.name):
            sharing = runtime.sharing()
            if sharing not in facts:
                facts[sharing] = facts_of(looked, sharing, apart)
                kinds[sharing] = list({id(known): known for known in facts[sharing]}.values())
            if any(map(trap.springs, kinds[sharing])):
                caught = trap.caught(looked, facts[sharing])
                found.append(PlanWarning(trap.code, trap.sentence(caught[0].module)))
        return tuple(found)

    def taken_apart(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> frozenset[str]:
        """Modules whose weight a reader takes apart, or puts together with others, while loading."""
        return frozenset()

    def to_json(self) -> dict[str, Any]:
        """The row of `qtquant formats`."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "extension": self.extension,
            "bits": list(self.bits),
            "readers": list(self.readers),
            "available": self.available,
            "reason": self.reason,
        }


def registry() -> dict[str, Format]:
    """Every format there is, by name."""
    import qtquant_app.formats.compressed_tensors
    import qtquant_app.formats.qtquant  # noqa: F401

    return dict(sorted(_REGISTRY.items()))


def find(name: str) -> Format:
    """The format called `name`. Raises UsageError naming those there are."""
    formats = registry()
    if name not in formats:
        raise UsageError(
            f"there is no format {name!r}", hint=f"the formats are {', '.join(sorted(formats))}", code="format"
        )
    return formats[name]


def scale_shape(tensor: TensorInfo, scheme: Scheme) -> tuple[int, ...]:
    """[1] for a whole tensor, else [rows, groups]."""
    rows, columns = tensor.shape
    return (1,) if scheme.strategy == "tensor" else (rows, scheme.groups(columns))


def scale_index(scheme: Scheme, row: int, column: int) -> tuple[int, ...]:
    """Which element of a tensor of `scale_shape` serves the weight at `row`, `column`."""
    if scheme.strategy == "tensor":
        return (0,)
    return row, column // scheme.group_size if scheme.group_size else 0


def whole_slot(tensor: str, dtype: str, index: tuple[int, ...], less: int = 0) -> Slot:
    """The place of a number that is an element of its own."""
    return Slot(tensor, dtype, (index,), tuple((0, bit) for bit in range(ITEM_BITS[dtype])), less)


def dense_slot(tensor: str, dtype: str, number: int, bits: int, index: Callable[[int], tuple[int, ...]]) -> Slot:
    """The place of a number in a dense little-endian stream of `bits` bits each; `index` is that of a stream's element."""
    places = [divmod(number * bits + bit, ITEM_BITS[dtype]) for bit in range(bits)]
    first = places[0][0]
    elements = tuple(index(element) for element in range(first, places[-1][0] + 1))
    return Slot(tensor, dtype, elements, tuple((element - first, bit) for element, bit in places))


def raw_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype that carries `dtype` untouched: uint16 for bfloat16."""
    return np.dtype({"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[dtype])


def as_bytes(array: NDArray[Any]) -> Bytes:
    """The array's memory, flat."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
