"""Calibrates what a plan says: walks over the model's blocks, and keeps for each what was found.

A block is run on what came out of the quantized blocks before it, as the result will be. Its weights come from the files and go
when it is done; what is held besides are the batches on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qtquant_app.core.calibration import CalibrationReport
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.events import Calibrated, Event, StageChanged, Warned
from qtquant_app.core.plan import Plan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.arithmetic import as_floats, computing
from qtquant_app.engine.calibrate.batches import batches, small_batch
from qtquant_app.engine.calibrate.block import BlockWork
from qtquant_app.engine.calibrate.cost import writing_share
from qtquant_app.engine.calibrate.folds import first_tensor
from qtquant_app.engine.calibrate.needed import needs_calibration
from qtquant_app.engine.calibrate.restoring import restored_by
from qtquant_app.engine.calibrate.solutions import Solutions
from qtquant_app.engine.calibrate.steps import told
from qtquant_app.engine.folded import with_foldings
from qtquant_app.engine.memory import available_bytes
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.room import Room
from qtquant_app.engine.samples import Samples, open_samples
from qtquant_app.engine.samples.own_words import own_words
from qtquant_app.engine.tools import Tools
from qtquant_app.engine.walk.net import open_net
from qtquant_app.engine.walk.passage import Call
from qtquant_app.engine.walk.reading import float_weights
from qtquant_app.engine.walk.sentences import in_sentences
from qtquant_app.engine.walk.shelf import Shelf
from qtquant_app.engine.walk.walk import Chain, Visit, Walk
from qtquant_app.quant import methods

if TYPE_CHECKING:
    import torch

QUANTIZED, FLOAT, PROBE = range(3)
"""The chains: samples through the quantized blocks; through the float ones; and a few tokens to look for foldings with."""


@dataclass(frozen=True)
class Outcome:
    """What was found, and what is told of it."""

    solutions: Solutions
    report: CalibrationReport


def calibrated(plan: Plan, checkpoint: Checkpoint, tools: Tools, out: OutputFolder) -> Generator[Event, None, Outcome]:
    """What calibration finds for the tensors of `plan`, kept in `out` block by block; blocks that are there already are taken.

    `tools` read the checkpoint; when this is done they read it folded. Raises SourceError where the samples cannot be read or are
    others than before, EvaluateError where the model cannot be run, WriteError.
    """
    assert plan.calibration is not None
    yield StageChanged("calibrate")
    samples = open_samples(checkpoint, plan.calibration)
    solutions = Solutions(out.partial)
    solutions.check_samples(out, samples.calibration.sha256)
    wanted = {tensor.name for tensor in plan.quantized if needs_calibration(tensor.scheme)}
    if wanted <= solutions.gathered():
        tools.reader.checkpoint = with_foldings(tools.reader.checkpoint, solutions.foldings)
    else:
        with _sentences(checkpoint, plan.device):
            written = solutions.own_words() is not None
            before = 0.0 if written else writing_share(plan.tensors, plan.calibration, plan.device)
            own = yield from _own(plan, checkpoint, samples, solutions, out, partial(_said, _OWN, 0.0, before))
            yield from _Calibration(plan, checkpoint, tools, out, solutions, before).run([*samples, *own])
    notes = tuple(note for found in solutions.all() for note in found.notes)
    return Outcome(solutions, CalibrationReport(samples.report(), notes))


def _own(
    plan: Plan,
    checkpoint: Checkpoint,
    samples: Samples,
    solutions: Solutions,
    out: OutputFolder,
    say: Callable[[float], Calibrated],
) -> Generator[Event, None, list[dict[str, torch.Tensor]]]:
    """The samples that the model writes itself, where the plan asks for some: those of a run before, if it came so far."""
    import torch

    wanted = plan.calibration
    if wanted is None or not wanted.own:
        return []
    if set(samples[0]) != {"input_ids"}:
        raise EvaluateError(f"{checkpoint.label} writes no text", hint="leave out --own-samples", code="model")
    known = solutions.own_words()
    if known is None:
        tokens = yield from told(own_words(checkpoint, wanted.own, wanted.length, plan.seed, plan.device), say)
        known = tokens.numpy()
        yield from Room(out.output.parent).needed(partial(solutions.keep_own_words, out, known))
    return [{"input_ids": torch.from_numpy(row[None])} for row in known]


class _Calibration:
    """One walk over the blocks, after `before` of the work is done, 0.0 to 1.0."""

    def __init__(
        self, plan: Plan, checkpoint: Checkpoint, tools: Tools, out: OutputFolder, solutions: Solutions, before: float
    ) -> None:
        import torch

        self._before = before
        self._tools = tools
        self._out = out
        self._room = Room(out.output.parent)
        self._solutions = solutions
        self._schemes: dict[str, Scheme] = {t.name: t.scheme for t in plan.quantized if t.scheme is not None}
        self._left = {name for name, scheme in self._schemes.items() if needs_calibration(scheme)}
        self._steps = {methods.steps(self._schemes[name].method) for name in self._left}
        self._seed = plan.seed
        self._shelf = Shelf(out.partial, (plan.max_memory or available_bytes()) // _SHELF_SHARE)
        self._read = float_weights(tools.reader)
        self._net = open_net(checkpoint, plan.device, torch.float32, self._read, self._left)

    def run(self, samples: Sequence[Mapping[str, torch.Tensor]]) -> Generator[Event, None, None]:
        walk = Walk(self._chains(samples))
        step = (1 - self._before) / len(self._net.blocks)
        with walk:
            for number, visit in enumerate(walk.visits()):
                say = partial(_said, visit.block, self._before + number * step, step / _SHARES)
                yield from self._visited(visit, number, say)
                if not self._left:
                    break
        for name in sorted(self._left):
            yield Warned("uncalibrated", f"{name} is not reached by any sample: it is quantized without")

    def _chains(self, samples: Sequence[Mapping[str, torch.Tensor]]) -> list[Chain]:
        net = self._net
        joined = batches(samples, net.device, net.dtype)
        chains = [Chain(net, joined)]
        chains += [Chain(net, joined if self._learns else [])]
        folds = any(folding for folding, _ in self._steps)
        return [*chains, Chain(net, [small_batch(samples[0], net.device, net.dtype)] if folds else [])]

    @property
    def _learns(self) -> bool:
        return any(rounding == "learned" for _, rounding in self._steps)

    def _visited(self, visit: Visit, number: int, say: Callable[[float], Calibrated]) -> Generator[Event, None, None]:
        """One block: solved where it is not yet, and run as the result will be."""
        net, block, reader = self._net, visit.block, self._tools.reader
        wanted = [name for name in net.matrices(block) if name in self._left]
        known, outputs = self._solutions.find(number, block), None
        with net.filled(block) as module:
            exact = yield from self._run(say, 0, visit, module, FLOAT)
            if wanted and known is None:
                targets = [first_tensor(output) for output in exact]
                calls, probes = visit.calls(QUANTIZED), visit.calls(PROBE)
                work = BlockWork(
                    net, block, module, calls, probes, self._schemes, targets, self._kept, self._shelf.room
                )
                steps = work.solved({n: self._schemes[n] for n in wanted}, self._tools, self._seed)
                known = yield from told(steps, lambda share: say(1 + (_SHARES - 2) * share))
                yield from self._room.needed(partial(self._solutions.write, self._out, number, known))
                outputs = work.outputs
                for note in known.notes:
                    yield Warned("calibration", note)
            self._left -= set(wanted)
            if not self._left:
                return  # what comes after the last block that matters need not be run
            if outputs is not None:
                visit.answer(FLOAT, exact)
                visit.answer(QUANTIZED, outputs)
                return
            foldings = {} if known is None else known.foldings
            reader.checkpoint = with_foldings(reader.checkpoint, {**reader.checkpoint.foldings, **foldings})
            net.refill(net.matrices(block), block, self._read)
            visit.answer(FLOAT, exact)
            visit.answer(PROBE, (yield from self._run(say, 0, visit, module, PROBE)))
            read = restored_by(self._tools, self._schemes, {} if known is None else known.chunks, self._read)
            net.refill([name for name in net.matrices(block) if name in self._schemes], block, read)
            waiting = visit.waiting[QUANTIZED]
            for done, (passage, call) in enumerate(zip(waiting, visit.calls(QUANTIZED), strict=True), 1):
                passage.answer(self._output(call, module))
                yield say(_SHARES - 1 + done / len(waiting))

    def _run(
        self, say: Callable[[float], Calibrated], share: float, visit: Visit, module: Any, chain: int
    ) -> Generator[Event, None, list[Any]]:
        """What a block gives for the batches of a chain, which go on waiting."""
        found, calls = [], visit.calls(chain)
        for done, call in enumerate(calls, 1):
            found.append(self._output(call, module))
            yield say(share + done / len(calls))
        return found

    def _output(self, call: Call, module: Any) -> Any:
        import torch

        with torch.no_grad(), computing(self._net.device):
            return self._kept(call.run(module))

    def _kept(self, output: Any) -> Any:
        """What waits for the next block of what this one gave."""
        kept = self._shelf.put(as_floats(output))
        self._shelf.rest()
        return kept


_SHELF_SHARE = 4
"""Of main memory, or of its ceiling, what the batches that wait may take: a fourth."""

_SHARES = 8
"""Steps that a block counts as: running the float one is the first, what comes of solving it the last."""


_OWN = "the model's own words"

_STEPS = 1_000_000
"""What is done is told in so many."""


def _said(text: str, before: float, share: float, done: float) -> Calibrated:
    """`before` of the whole work is done, and `done` times `share` of it more."""
    return Calibrated(min(_STEPS, round(_STEPS * (before + done * share))), _STEPS, text)


def _sentences(checkpoint: Checkpoint, device: str) -> AbstractContextManager[None]:
    return in_sentences(
        f"{checkpoint.label} block by block",
        "use a method that needs no samples, such as --method mse",
        f"{device} has too little memory to calibrate {checkpoint.label}",
        "use fewer tokens with --seqlen, or --device cpu",
    )
