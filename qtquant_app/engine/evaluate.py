"""Runs a result beside its original. The weights are those in the files, decoded by the format they are written in."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from qtquant_app.core.calibration import RANDOM, Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.continuation import Continuation
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.events import Event, RunStarted, StageChanged, TextRead
from qtquant_app.core.plan import Plan
from qtquant_app.engine.device import resolve
from qtquant_app.engine.evaluation.continuing import MOST_PROMPTS, NEW_TOKENS, all_prompts, continued
from qtquant_app.engine.evaluation.memory import fit_whole, most_tokens
from qtquant_app.engine.evaluation.recording import record_evaluation
from qtquant_app.engine.evaluation.running import Runs, Streamed, whole
from qtquant_app.engine.evaluation.sides import Pair, pair_with_foreign, pair_with_result
from qtquant_app.engine.language_model import open_tokenizer, runnable
from qtquant_app.engine.packed.whole import somebody_elses
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN
from qtquant_app.engine.verify import base_of, result_plan
from qtquant_app.engine.walk.sentences import in_sentences

if TYPE_CHECKING:
    from qtquant_app.engine.evaluation.tally import Tally
    from qtquant_app.engine.samples import Samples
    from qtquant_app.engine.samples.takes import Takes

WINDOWS, SEQLEN = 16, 512


@dataclass(frozen=True)
class _Subject:
    """What is evaluated: a result with its plan, or somebody else's checkpoint, and the original."""

    root: Path
    base: Checkpoint
    plan: Plan | None
    foreign: Checkpoint | None

    def pair(self, device: str) -> AbstractContextManager[Pair]:
        if self.foreign is not None:
            return pair_with_foreign(self.base, self.foreign, device)
        assert self.plan is not None
        return pair_with_result(self.base, self.plan, self.root, device)


def evaluate(
    output: str | Path,
    base: str | Path,
    *,
    text: str = BUILT_IN,
    windows: int = WINDOWS,
    seqlen: int = SEQLEN,
    device: str = "auto",
    prompts: Sequence[str] = (),
    new_tokens: int = NEW_TOKENS,
    streamed: bool | None = None,
    speed: bool = False,
    record: bool = True,
) -> Generator[Event, None, Evaluation]:
    """How far the result in `output` is from the model at `base` it was made from: KL divergence, top-1 agreement and perplexity
    where the model says what comes next, cosine and relative error of every output of any model.

    `output` may be a quantized checkpoint of somebody else's too: its weights alone are then looked at. Of `text`, whatever
    `open_samples` takes, the second half is read, at most `windows` samples of `seqlen` tokens; the first is left to calibrations.
    Both compute in float32, on `device`: each whole in memory, or, where they do not fit or `streamed` is set, block by block side
    by side. No logits are kept. Both go on with each of `prompts` ("default" for built-in ones). With `speed`, results of the plain
    format are timed. With `record`, the numbers go into the record of the result.

    Raises VerifyError where `output` is no result or was made from something else, EvaluateError or DeviceError where the model
    cannot be run, SourceError where the samples or a file cannot be read, UsageError where speed cannot be measured, WriteError.
    """
    began, subject, resolved = monotonic(), _subject(output, base), resolve(device)
    _check(subject, prompts, speed)
    samples, takes = _samples(subject.base, text, windows, seqlen)
    yield RunStarted(len(subject.base.tensors), subject.base.nbytes)
    yield StageChanged("check")
    by_blocks = not fit_whole(subject.base, resolved) if streamed is None else streamed
    with _sentences(subject.base, resolved), subject.pair(resolved) as pair:
        with nullcontext(Streamed(pair)) if by_blocks else whole(pair) as runs:
            tally = yield from _tallied(runs, pair, samples, takes, str(output))
            said = yield from _continued(runs, pair, subject.base, all_prompts(prompts), new_tokens)
        rounding = pair.own.rounding
        if rounding is not None:
            rounding.check()
    found = _evaluation(tally, samples, text, "none" if rounding is None else rounding.words)
    found = replace(found, output=str(output), base=subject.base.label, continuations=said, streamed=by_blocks)
    if record and subject.plan is not None:
        record_evaluation(subject.root, found)
    if speed:
        from qtquant_app.engine.evaluation.speed import measured_speed

        measured = yield from measured_speed(subject.base, subject.root, resolved)
        found = replace(found, speed=measured)
    return replace(found, seconds=round(monotonic() - began, 3))


def _subject(output: str | Path, base: str | Path) -> _Subject:
    root, foreign = Path(output), somebody_elses(output)
    plan = result_plan(root) if foreign is None else None
    return _Subject(root, open_checkpoint(base) if plan is None else base_of(plan, base), plan, foreign)


def _check(subject: _Subject, prompts: Sequence[str], speed: bool) -> None:
    """Whatever can be refused before anything is run."""
    if len(all_prompts(prompts)) > MOST_PROMPTS:
        raise EvaluateError(f"{len(prompts):,} prompts are too many", hint=f"give {MOST_PROMPTS} at most", code="text")
    if prompts and (reason := runnable(subject.base)):
        raise EvaluateError(f"{reason}, so it goes on with no prompt", hint="leave --prompt out", code="model")
    if speed:
        from qtquant_app.engine.evaluation.speed import check_measurable

        check_measurable(subject.base, subject.plan)


def _samples(checkpoint: Checkpoint, text: str, windows: int, seqlen: int) -> tuple[Samples, Takes]:
    from qtquant_app.engine.samples import open_samples
    from qtquant_app.engine.samples.takes import takes_of

    samples = open_samples(checkpoint, Calibration(text, windows, seqlen), held_out=True)
    return samples, takes_of(checkpoint)


def _tallied(runs: Runs, pair: Pair, samples: Samples, takes: Takes, label: str) -> Generator[Event, None, Tally]:
    from qtquant_app.engine.calibrate.batches import batches
    from qtquant_app.engine.evaluation.outputs import Reading
    from qtquant_app.engine.evaluation.tally import Tally

    net = pair.base.net
    joined = batches(samples, net.device, net.dtype, most_tokens(net.model.config, net.device.type, text=takes.text))
    batched = [{**batch, **_words(takes)} for batch in joined]
    tally, reading, total = Tally(label), Reading(takes), samples.tokens or len(samples)
    for share, said in runs.both(batched):
        if said is not None:
            for part in reading.parts(said.inputs, said.base, said.own):
                tally.add(part)
        yield TextRead(round(share * total), total)
    return tally


def _words(takes: Takes) -> dict[str, bool]:
    return {name: value for name, value in (("use_cache", False), ("return_dict", True)) if name in takes.names}


def _continued(
    runs: Runs, pair: Pair, checkpoint: Checkpoint, prompts: list[str], count: int
) -> Generator[Event, None, tuple[Continuation, ...]]:
    if not prompts or count < 1:
        return ()
    total = 2 * count * len(prompts)
    for found in continued(runs, pair, open_tokenizer(checkpoint), prompts, count):
        if isinstance(found, tuple):
            return found
        yield TextRead(round(found * total), total)
    return ()


def _evaluation(tally: Tally, samples: Samples, text: str, activations: str) -> Evaluation:
    facts, divergence = samples.facts, tally.divergence()
    perplexities = tally.perplexities() if text != RANDOM else None
    kl, interval, p99, same = divergence or (None, None, None, None)
    return Evaluation(
        output="",
        base="",
        text=facts.name,
        tokens=tally.positions or len(samples),
        windows=len(samples),
        seqlen=facts.longest,
        base_perplexity=None if perplexities is None else perplexities[0],
        perplexity=None if perplexities is None else perplexities[1],
        kl=kl,
        kl_interval=interval,
        kl_p99=p99,
        top1_agreement=same,
        activations=activations,
        kind=facts.kind,
        sha256=facts.sha256,
        outputs=tally.outputs(),
    )


def _sentences(checkpoint: Checkpoint, device: str) -> AbstractContextManager[None]:
    return in_sentences(
        checkpoint.label,
        "evaluate it in a runtime that reads its format",
        f"{device} has too little memory to run {checkpoint.label} beside what was made of it",
        "give --streamed, fewer tokens a window with --seqlen, or --device cpu",
    )
