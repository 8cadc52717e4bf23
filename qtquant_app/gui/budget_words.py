"""What a mix is worth, in sentences: what it takes, beside one scheme for all, and what a check found. Said as it is."""

from __future__ import annotations

from qtquant_app.core.budget import Budget, Point
from qtquant_app.core.quantities import bytes_text, figure, share_text
from qtquant_app.gui.budget_units import amount_text, error_text
from qtquant_app.gui.budgeter import DOT
from qtquant_app.gui.widgets.text import sentence_case


def in_its_place(budget: Budget) -> Point | None:
    """The scheme for all that a check found to be no worse than the mix, and that the recipe gives now."""
    return budget.proof.uniform if budget.proof is not None and not budget.proof.better else None


def mix_text(budget: Budget) -> str:
    """The size of the mix, its bits and its error; or those of the scheme that a check put in its place."""
    plan, uniform = budget.plan, in_its_place(budget)
    parts = [
        bytes_text(plan.output_bytes),
        f"{plan.bits_per_weight:.3f} bits per weight",
        error_text(uniform.error if uniform else budget.error, budget.calibrated),
    ]
    if uniform is not None:
        return DOT.join([f"{uniform.label} for all", *parts])
    return DOT.join(parts)


def memory_text(budget: Budget) -> str:
    """What the card holds, part by part, and how each was counted; empty where no card was asked for."""
    use = budget.memory
    if use is None:
        return ""
    sentences = (use.text, f"the overhead: {use.overhead.text}", use.counted)
    return "\n".join(sentence_case(sentence) for sentence in sentences if sentence)


def price_text(budget: Budget) -> str:
    """What more bytes would be worth; empty where they are worth nothing."""
    if not budget.price:
        return "More bytes would not make it any better."
    unit, size = ("MB", 1e6) if 2e6 * budget.price < budget.error else ("kB", 1e3)
    return f"Another {unit} would remove about {_of_the_error(size * budget.price, budget)}."


def _of_the_error(amount: float, budget: Budget) -> str:
    return f"{amount_text(amount, True)} of it" if budget.calibrated else f"{figure(amount)} of the error"


def beside_uniform(budget: Budget) -> str:
    """The mix beside the best of the uniform schemes that are no larger, by what is predicted."""
    nearest = budget.nearest_uniform()
    if nearest is None:
        return "No single scheme for all is as small as this mix."
    words = (
        f"Of the schemes that could be given to all within this size {nearest.label} is the best: "
        f"{bytes_text(nearest.bytes)}, {error_text(nearest.error, budget.calibrated)}. "
    )
    return words + _difference(budget, nearest)


def _difference(budget: Budget, nearest: Point) -> str:
    more = bytes_text(budget.plan.output_bytes - nearest.bytes)
    if budget.error >= nearest.error:
        return "The mix is predicted to be no better than that."
    less = share_text(nearest.error - budget.error, nearest.error, 0)
    size = "for the same size" if budget.plan.output_bytes == nearest.bytes else f"for {more} more"
    return f"The mix is predicted to have {less} less error {size}."


def basis_text(budget: Budget) -> str:
    """What the prediction rests on, and what it is worth."""
    if budget.calibrated:
        return "Errors are the KL divergence from the original in nats a token, predicted from what a text does in the model."
    return "The errors are predicted from the weights alone. They compare mixes of this model, nothing else."


def proof_text(budget: Budget) -> str:
    """What the check on held-out text found; empty where there was none."""
    return f"{sentence_case(budget.proof.sentence)}." if budget.proof is not None else ""
