"""What a format is: how a quantized tensor lies on disk, what its readers refuse, and the words they need in config.json."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, nbytes
from qtquant_app.core.errors import UsageError
from qtquant_app.core.facts import Facts, Sharing, facts_of, looked_at
from qtquant_app.core.placement import Placement, Slot
from qtquant_app.core.plan import PlanWarning, Role, TensorPlan
from qtquant_app.core.runtimes import warned
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.stacks import only_stacked

Bytes = NDArray[np.uint8]

_REGISTRY: dict[str, Format] = {}


CONSTANT: frozenset[Role] = frozenset({"shape", "index", "global"})
"""What is stored once for a whole tensor."""


class Stored(NamedTuple):
    """One tensor that a format stores for a quantized weight."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: Role
    axis: int = 0
    """The dimension that runs along the rows of the weight."""

    @property
    def nbytes(self) -> int:
        return nbytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The small part of a quantized weight: what each group of codes is multiplied and shifted by.

    `scale` is [rows, groups] in the stored dtype ([1, 1] for a whole tensor), bfloat16 as its bits in uint16.
    `zero` is uint8 of the same shape, float offsets in the dtype of `scale`, or None where the scheme is symmetric.
    `whole` is what all scales are divided by, float32 [1, 1], where there is such a number.
    """

    scale: NDArray[Any]
    zero: NDArray[Any] | None
    whole: NDArray[np.float32] | None = None


class Format(ABC):
    """One on-disk layout. Subclassing it with a `name` registers it.

    The engine hands over codes as packed rows (uint8 [rows, row bytes], the dense little-endian bit stream, rows padded
    to `align` bytes) chunk by chunk, and scales and zero points whole; the format never sees a whole weight.

    What is stored along `axis` 0 is encoded as [rows, bytes of a row]; along axis 1 as [first dimension, bytes that the rows take
    in each].
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    extension: ClassVar[str] = ".safetensors"
    bits: ClassVar[tuple[int, ...]] = ()
    readers: ClassVar[tuple[str, ...]] = ()
    codes: ClassVar[tuple[str, ...]] = ("int",)
    """The kinds of codes it holds: "int", "float", and "layout" for named block layouts."""
    float_offsets: ClassVar[bool] = False
    """Whether it holds schemes whose `offset` is a float."""
    container: ClassVar[str] = "safetensors"
    """How its files are laid out: see `engine.containers`."""
    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.LINEAR, Kind.EXPERT, Kind.HEAD})
    """The kinds of tensors that a rule may give a scheme."""
    may_keep_all: ClassVar[bool] = False
    """Whether a result in which nothing is quantized makes sense."""
    keeps_stacks: ClassVar[bool] = True
    """Whether a stack of experts of which nothing is quantized is stored as it is in the source, under its own name."""
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
        if scheme.offset == "float" and not self.float_offsets:
            return f"the {self.name} format has whole zero points, not float offsets"
        if scheme.layout is None and scheme.type not in self.codes:
            kind = "floating-point" if scheme.type == "float" else "plain integer"
            return f"the {self.name} format holds no {kind} codes"
        return ""

    def bound(self, checkpoint: Checkpoint) -> Format:
        """The format for this checkpoint, where names and sizes depend on the model. Raises PlanError where it cannot hold it."""
        return self

    def adapted(
        self, checkpoint: Checkpoint, schemes: Sequence[Scheme | None], free: Sequence[bool]
    ) -> Sequence[Scheme | None]:
        """What each tensor really gets, where that is not what the recipe says in so many words. `free` are those that nothing in
        the recipe decides, and that are kept for what they are."""
        return schemes

    def kept(self, tensor: TensorInfo) -> tuple[Stored, ...]:
        """What is stored for a tensor that is not quantized, of role "kept"; none where it is left out."""
        return (Stored(tensor.name, tensor.dtype, tensor.shape, "kept"),)

    def encode_kept(self, tensor: TensorInfo, data: Bytes) -> Bytes:
        """Whole elements of a kept tensor, from its source's bytes to the stored ones."""
        return data

    def decode_kept(self, tensor: TensorInfo, data: Bytes) -> Bytes:
        """The inverse of `encode_kept`, rounded to the source's dtype."""
        return data

    def metadata(self, tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> Mapping[str, Any]:
        """What a GGUF header says besides the tensors (name, type, row-major shape)."""
        return {}

    def made(self) -> Mapping[str, tuple[str, tuple[int, ...], bytes]]:
        """Tensors that come of no tensor of the source: dtype, shape and bytes by name."""
        return {}

    def stack(self, tensor: TensorInfo) -> int | None:
        """Which slice of the stored tensor it becomes, where several of the source share one: what is stored of it is then
        [1, rows, columns]. None where it has one of its own."""
        return None

    def row_positions(self, tensor: TensorInfo) -> NDArray[np.int64] | None:
        """Where in the stored tensor each row of the source goes; None where they stay in order."""
        return None

    def row_step(self, scheme: Scheme) -> int:
        """Codes are encoded for so many rows at a time, or a multiple of it."""
        return scheme.row_block

    @abstractmethod
    def stored(self, tensor: TensorInfo, scheme: Scheme) -> tuple[Stored, ...]:
        """The tensors on disk, one of role "codes" among them, whose rows are those of the weight."""

    @abstractmethod
    def encode_codes(self, packed: Bytes, scheme: Scheme) -> Bytes:
        """Packed rows as the bytes of the "codes" tensor."""

    @abstractmethod
    def decode_codes(self, rows: Bytes, scheme: Scheme) -> Bytes:
        """The inverse of `encode_codes`; `rows` has two dimensions."""

    @abstractmethod
    def encode_parameters(self, tensor: TensorInfo, scheme: Scheme, parameters: Parameters) -> dict[Role, Bytes]:
        """The bytes of every stored tensor that is not the codes: flat, or as [first dimension, bytes] along axis 1. Those of the
        roles in CONSTANT are the same for any rows."""

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

    def config_entries(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, Any]:
        """What config.json gains."""
        return {"quantization_config": self.quantization_config(checkpoint, tensors)}

    def more_texts(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> dict[str, str]:
        """Small files that are written besides config.json: name to content."""
        return {}

    def warnings(self, checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> tuple[PlanWarning, ...]:
        """What readers of this format will trip over, whichever of them it is for."""
        looked, apart, stacked = looked_at(tensors), self.taken_apart(checkpoint, tensors), only_stacked(checkpoint)
        facts: dict[Sharing, list[Facts]] = {}
        kinds: dict[Sharing, list[Facts]] = {}
        found = []
        for runtime, trap in warned(self.name):
            sharing = runtime.sharing()
            if sharing not in facts:
                facts[sharing] = facts_of(looked, sharing, apart, stacked)
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
    import qtquant_app.formats.awq
    import qtquant_app.formats.compressed_tensors
    import qtquant_app.formats.gguf.format
    import qtquant_app.formats.gptq
    import qtquant_app.formats.mlx
    import qtquant_app.formats.qtquant
    import qtquant_app.formats.safetensors  # noqa: F401

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


def dense_slot(
    tensor: str, dtype: str, number: int, bits: int, index: Callable[[int], tuple[int, ...]], less: int = 0
) -> Slot:
    """The place of a number in a dense little-endian stream of `bits` bits each; `index` is that of a stream's element."""
    places = [divmod(number * bits + bit, ITEM_BITS[dtype]) for bit in range(bits)]
    first = places[0][0]
    elements = tuple(index(element) for element in range(first, places[-1][0] + 1))
    return Slot(tensor, dtype, elements, tuple((element - first, bit) for element, bit in places), less)


def raw_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype that carries `dtype` untouched: uint16 for bfloat16."""
    return np.dtype({"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[dtype])


def as_bytes(array: NDArray[Any]) -> Bytes:
    """The array's memory, flat."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
