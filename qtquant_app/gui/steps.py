"""The steps and the state each one is in, in a word or two."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from qtquant_app.core.quantities import plural, share_text
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session

FLOATS = "safetensors"
"""The format of float weights: its recipe quantizes nothing."""


class Step(IntEnum):
    SOURCE = 0
    INSPECT = 1
    RECIPE = 2
    RUN = 3
    PUBLISH = 4
    COMPARE = 5

    @property
    def title(self) -> str:
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class StepState:
    """`tone` colours the mark beside the words: "muted", "accent", "good", "warn" or "bad"."""

    words: str
    tone: str = "muted"


def state_of(step: Step, session: Session, opening: str = "") -> StepState:
    """What `step` says of itself."""
    return _STATES[step](session, opening)


def _source(session: Session, opening: str) -> StepState:
    if opening:
        return StepState("opening…", "accent")
    if session.checkpoint is None:
        return StepState("nothing open")
    return StepState(session.checkpoint.label.rstrip("/\\").replace("\\", "/").rpartition("/")[2], "good")


def _inspect(session: Session, _: str) -> StepState:
    if session.checkpoint is None:
        return StepState("no checkpoint")
    if not session.selection:
        return StepState("choose a tensor")
    return StepState(session.selection.removesuffix(".weight"), "accent")


def _recipe(session: Session, _: str) -> StepState:
    label = "floats" if session.recipe.format == FLOATS else session.recipe.default.label
    if session.refusal is not None:
        return StepState("refused", "bad")
    if session.plan is None:
        return StepState(label)
    warned = len(session.plan.warnings)
    return StepState(plural(warned, "warning"), "warn") if warned else StepState(label, "good")


def _run(session: Session, _: str) -> StepState:
    runner = session.runner
    match runner.state:
        case RunState.RUNNING:
            return StepState(f"running, {share_text(runner.progress.fraction, 1, 0)}", "accent")
        case RunState.PAUSED:
            return StepState(f"paused at {share_text(runner.progress.fraction, 1, 0)}", "warn")
        case RunState.CANCELLING:
            return StepState("cancelling…", "warn")
        case RunState.FAILED:
            return StepState("failed", "bad")
        case RunState.CANCELLED:
            return StepState("cancelled", "warn")
        case RunState.DONE if session.report is not None:
            return StepState("done", "good")
    return StepState("ready", "accent") if session.plan is not None else StepState("no plan")


def _publish(session: Session, _: str) -> StepState:
    verifier = session.verifier
    if verifier.busy:
        return StepState("verifying…", "accent")
    if verifier.error is not None:
        return StepState("not verified", "bad")
    if verifier.report is not None:
        return StepState("verified", "good") if verifier.report.ok else StepState("files differ", "bad")
    if session.report is None:
        return StepState("nothing saved")
    return StepState("verified", "good") if session.report.verified else StepState("saved, not verified", "warn")


def _compare(session: Session, _: str) -> StepState:
    results = session.results
    if results.left:
        return StepState(f"evaluating, {results.left:,} to go", "accent")
    return StepState(plural(len(results.rows), "result"), "good") if results.rows else StepState("nothing added")


_STATES = {
    Step.SOURCE: _source,
    Step.INSPECT: _inspect,
    Step.RECIPE: _recipe,
    Step.RUN: _run,
    Step.PUBLISH: _publish,
    Step.COMPARE: _compare,
}
