"""One block: what its matrices are given, what is folded, and the codes that follow."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtquant_app.core.blocks import ANY, spot
from qtquant_app.core.errors import SourceError
from qtquant_app.core.folding import Folding
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.arithmetic import computing
from qtquant_app.engine.calibrate.factors import factors_for, foldings_of
from qtquant_app.engine.calibrate.folds import Fold, FoldFinder
from qtquant_app.engine.calibrate.inputs import Inputs
from qtquant_app.engine.calibrate.needed import learns
from qtquant_app.engine.calibrate.restoring import restored_by
from qtquant_app.engine.calibrate.rounding import Matrix, is_stored, solved
from qtquant_app.engine.calibrate.side_by_side import side_by_side
from qtquant_app.engine.calibrate.solutions import BlockSolution
from qtquant_app.engine.calibrate.stages import OtherOrderError, Stage, Staged, put, stages_of
from qtquant_app.engine.calibrate.steps import told
from qtquant_app.engine.folded import with_foldings
from qtquant_app.engine.memory import give_back
from qtquant_app.engine.tools import Tools
from qtquant_app.engine.walk.net import Net
from qtquant_app.engine.walk.passage import Call
from qtquant_app.engine.walk.reading import float_weights
from qtquant_app.quant import methods
from qtquant_app.quant.chunk import QuantizedChunk

if TYPE_CHECKING:
    from torch import Tensor, nn

    from qtquant_app.core.checkpoint import TensorInfo
    from qtquant_app.quant.solvers.grid import Solved

Step = float
"""How much of a block's work is done, 0.0 to 1.0."""

_ROWS = 512
"""Inputs that are kept for methods that try them, of all calls together."""

_START_TOKENS = 16
"""Tokens for each column of the widest matrix that are looked at to find what learning starts from."""

_WATCHED = 0.4
"""The share of the work that looking at inputs takes."""


@dataclass
class BlockWork:
    """A block that is filled with its float weights, and the calls of it that the samples make."""

    net: Net
    block: str
    module: nn.Module
    calls: Sequence[Call]
    probes: Sequence[Call]
    """One small call to look for foldings with; none where nothing is to be folded."""
    schemes: Mapping[str, Scheme]
    """Of all tensors that are quantized, by samples or not."""
    targets: Sequence[Tensor] = ()
    """What the float block gives for the float inputs, call by call; none where nothing is learned."""
    keep: Callable[[Any], Any] | None = None
    """What is made of an output of the block; without it there are none in `outputs`."""
    room: int = 0
    """Bytes that may be held of what the calls have come to within the block."""
    notes: list[str] = field(default_factory=list)
    outputs: list[Any] | None = None
    """What `keep` made of the outputs of all calls, run with the rounded matrices, where they came about on the way."""

    def solved(self, schemes: Mapping[str, Scheme], tools: Tools, seed: int) -> Generator[Step, None, BlockSolution]:
        """What is found for the matrices that `schemes` names. `tools` read them folded from then on."""
        self._refuse_non_finite(schemes, tools)
        if self._goes_in_stages(schemes):
            stages = stages_of(self.net, self.block, self.module, self.calls[0], list(schemes))
            try:
                if stages:
                    return (yield from self._in_stages(stages, schemes, tools))
            except OtherOrderError:
                self.net.refill(schemes, self.block, float_weights(tools.reader))
        folds = self._folds(schemes)
        consumers = (name for fold in folds for name in fold.consumers)
        inputs = yield from self._inputs({*schemes, *consumers}, schemes)
        foldings, columns = self._folded(folds, schemes, inputs, tools)
        reader = tools.reader
        reader.checkpoint = with_foldings(reader.checkpoint, {**reader.checkpoint.foldings, **foldings})
        self.net.refill(foldings, self.block, float_weights(reader))
        stored = [name for name, scheme in schemes.items() if is_stored(scheme)]
        alone = 0.2 if any(learns(schemes[name]) for name in stored) else 1.0
        done: dict[str, tuple[Solved, Matrix | None]] = {}

        def ready(tensor: TensorInfo) -> Matrix:
            return self._matrix(tensor.name, schemes[tensor.name], tools, inputs, columns.get(tensor.name))

        tensors, notes = [tools.reader.checkpoint.by_name[name] for name in stored], dict.fromkeys(stored, "")
        for name, matrix, (found, note) in side_by_side(tensors, ready, solved, self.net.device.type):
            learns_on = matrix.rounding == "learned" and matrix.hessian is not None
            done[name] = found, replace(matrix, hessian=None) if learns_on else None
            notes[name] = note
            yield alone * (_WATCHED + (1 - _WATCHED) * len(done) / len(stored))
        self.notes += filter(None, notes.values())
        codes = {name: done[name][0] for name in stored}
        learned = {name: left for name in stored if (left := done[name][1]) is not None}
        if learned:
            yield from self._learn(learned, codes, schemes, tools, seed)
        return BlockSolution(
            self.block, self._chunks(codes, schemes, tools), foldings, tuple(schemes), tuple(self.notes)
        )

    def _goes_in_stages(self, schemes: Mapping[str, Scheme]) -> bool:
        """Whether samples need to go through the block but once: all that is rounded in it is solved by samples, on its own."""
        if self.keep is None or self.probes or self.targets or self.net.device.type != "cpu":
            return False
        alone = all(is_stored(s) and not learns(s) and not methods.steps(s.method)[0] for s in schemes.values())
        others = self.schemes.keys() & self.net.matrices(self.block) - schemes.keys()
        if not alone or others or any(ANY in spot(name).path for name in schemes):
            return False
        widest = max(self.net.checkpoint.by_name[name].shape[-1] for name in schemes)
        given = [first_input(call) for call in self.calls]
        return sum(4 * x.numel() + 2 * widest * (x.numel() // x.shape[-1]) for x in given) <= self.room

    def _in_stages(
        self, stages: Sequence[Stage], schemes: Mapping[str, Scheme], tools: Tools
    ) -> Generator[Step, None, BlockSolution]:
        chunks: dict[str, QuantizedChunk] = {}
        by_name, notes, share = tools.reader.checkpoint.by_name, dict.fromkeys(schemes, ""), 1 / (len(stages) + 1)
        with Staged(self.net, self.block, self.module, self.calls, stages) as staged:
            for number, stage in enumerate(stages):
                moments = yield from told(staged.to(stage), partial(_brought, number, share))
                if number + 1 == len(stages):
                    give_back()  # where most is held, before what solving takes
                hessian, tensors = moments.hessian, [by_name[name] for name in stage.names]

                def ready(tensor: TensorInfo, hessian: Tensor = hessian, tokens: int = moments.tokens) -> Matrix:
                    weight = float_weights(tools.reader)(tensor.name).to(self.net.device).float()
                    return Matrix(tensor, schemes[tensor.name], weight, hessian, tokens)

                for name, _, (codes, notes[name]) in side_by_side(tensors, ready, solved, self.net.device.type):
                    chunks |= self._chunks({name: codes}, schemes, tools)
                    yield (number + 0.5) * share
                read = restored_by(tools, schemes, chunks, float_weights(tools.reader))
                for product in stage.products:
                    put(product, read(product.names[0]))
            assert self.keep is not None
            self.outputs = yield from told(staged.out(self.keep), lambda done: (len(stages) + done) * share)
        self.notes += filter(None, notes.values())
        kept = {name: chunks[name] for name in schemes}
        return BlockSolution(self.block, kept, {}, tuple(schemes), tuple(self.notes))

    def _refuse_non_finite(self, names: Iterable[str], tools: Tools) -> None:
        """Raises SourceError naming a matrix of which a weight is NaN or infinite: nothing can be learned from what it gives."""
        read = float_weights(tools.reader)
        for name in names:
            weight = read(name)
            if not bool(weight.isfinite().all()):
                row, column = (~weight.isfinite()).nonzero()[0].tolist()
                raise SourceError(
                    f"{name} holds {float(weight[row, column])} at row {row}, column {column}, and the model cannot be "
                    "calibrated with it",
                    hint="the checkpoint is damaged there: fetch it again, or use --method mse --on-nonfinite repair",
                    code="non-finite",
                )

    def _folds(self, schemes: Mapping[str, Scheme]) -> list[Fold]:
        folding = [name for name, scheme in schemes.items() if methods.steps(scheme.method)[0]]
        if not folding or not self.probes:
            return []
        by_name = self.net.checkpoint.by_name
        matrices = [name for name in self.net.matrices(self.block) if len(by_name[name].shape) == 2]
        return list(FoldFinder(self.net, self.block, self.module, self.probes[0], matrices).found(folding))

    def _inputs(self, names: set[str], schemes: Mapping[str, Scheme]) -> Generator[Step, None, Inputs]:
        import torch

        smooths = any(methods.steps(scheme.method)[0] == "smoothquant" for scheme in schemes.values())
        calls = self._watched(schemes)
        inputs = Inputs(names, rows=-(-_ROWS // len(calls)) if smooths else 0)
        for done, call in enumerate(calls, 1):
            with torch.no_grad(), computing(self.net.device), inputs.watching(self.net, self.block):
                call.run(self.module)
            yield _WATCHED * done / len(calls)
        return inputs

    def _watched(self, schemes: Mapping[str, Scheme]) -> Sequence[Call]:
        """The calls whose inputs are looked at: some of them, spread evenly, will do for where learning starts from."""
        if not all(learns(scheme) for scheme in schemes.values()) or any(ANY in spot(name).path for name in schemes):
            return self.calls  # an expert is given a part of the tokens alone
        widest = max(self.net.checkpoint.by_name[name].shape[-1] for name in schemes)
        tokens = sum(target.numel() // target.shape[-1] for target in self.targets)
        count = min(len(self.calls), -(-_START_TOKENS * widest * len(self.calls) // tokens))
        return [self.calls[at * len(self.calls) // count] for at in range(count)]

    def _folded(
        self, folds: Sequence[Fold], schemes: Mapping[str, Scheme], inputs: Inputs, tools: Tools
    ) -> tuple[dict[str, Folding], dict[str, Tensor]]:
        """The foldings of the block's tensors, and by matrix the factors of its columns."""
        foldings: dict[str, Folding] = {}
        columns: dict[str, Tensor] = {}
        for fold in folds:
            matrices = [
                self._matrix(name, schemes[name], tools, inputs, None) for name in fold.consumers if name in schemes
            ]
            factors = factors_for(fold, matrices, inputs)
            if factors is not None:
                foldings_of(fold, factors, foldings)
                columns |= dict.fromkeys(fold.consumers, factors)
        return foldings, columns

    def _matrix(self, name: str, scheme: Scheme, tools: Tools, inputs: Inputs, columns: Tensor | None) -> Matrix:
        tensor, moments = tools.reader.checkpoint.by_name[name], inputs.of(name)
        weight = float_weights(tools.reader)(name).to(self.net.device).float()
        hessian = None if moments is None else moments.hessian
        if hessian is not None and columns is not None:
            hessian = hessian / columns / columns[:, None]
        return Matrix(tensor, scheme, weight, hessian, 0 if moments is None else moments.tokens)

    def _learn(
        self,
        matrices: Mapping[str, Matrix],
        codes: dict[str, Solved],
        schemes: Mapping[str, Scheme],
        tools: Tools,
        seed: int,
    ) -> Iterator[Step]:
        """Learns the codes of `matrices`, the other ones of the block being as the result has them."""
        from qtquant_app.engine.calibrate.learning import learned

        others = {name: scheme for name, scheme in self.schemes.items() if name not in matrices}
        read = restored_by(tools, others, self._chunks(codes, schemes, tools), float_weights(tools.reader))
        self.net.refill([name for name in self.net.matrices(self.block) if name in others], self.block, read)
        steps = learned(self.net, self.block, self.module, matrices, codes, self.calls, self.targets, seed)
        try:
            while True:
                try:
                    yield 0.2 + 0.8 * next(steps)
                except StopIteration as end:
                    codes |= end.value
                    return
        finally:
            steps.close()

    @staticmethod
    def _chunks(codes: Mapping[str, Solved], schemes: Mapping[str, Scheme], tools: Tools) -> dict[str, QuantizedChunk]:
        from qtquant_app.quant.blocks.grids import chunk_of

        by_name = tools.reader.checkpoint.by_name
        return {
            name: chunk_of(found, schemes[name], by_name[name].dtype, tools.format.align)
            for name, found in codes.items()
        }


def first_input(call: Call) -> Tensor:
    """The hidden states that a block is called with: the first tensor among its arguments."""
    from torch import Tensor

    return next(value for value in (*call.arguments, *call.named.values()) if isinstance(value, Tensor))


def _brought(number: int, share: float, done: float) -> Step:
    """How much of a block is done when `done` of the calls are at stage `number`: half of the stage's share is to solve it."""
    return (number + done / 2) * share
