"""Whether a result is proven, and what is missing where it is not: nothing else goes to the Hub."""

from __future__ import annotations

from qtquant_app.gui.saved import Saved
from qtquant_app.gui.verifier import Verifier

_BY_THE_RUN = ("full", "quick")


def missing_proof(saved: Saved, verifier: Verifier) -> str:
    """What stands in the way of publishing `saved`, in a few words; empty where nothing does."""
    mine = verifier.folder == saved.folder
    if mine and verifier.busy:
        return "the verification is under way"
    if mine and verifier.error is not None:
        return "the verification failed: verify again"
    if mine and verifier.report is not None and not verifier.report.ok:
        return "the files are not what was written: make the result again"
    if saved.verified in _BY_THE_RUN or proven_again(saved, verifier):
        return ""
    if saved.base is None:
        return "the run verified nothing, and what it was made from is not known here"
    return "the run verified nothing: press Verify again"


def proven_again(saved: Saved, verifier: Verifier) -> bool:
    """Whether the verification here compared the weights of `saved` with the original, and found them right."""
    report = verifier.report
    return verifier.folder == saved.folder and report is not None and report.ok and bool(report.compared)
