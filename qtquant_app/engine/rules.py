"""Which part of a recipe decides each tensor, and which of its patterns decide nothing or cannot be carried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.dtypes import QUANTIZABLE
from qtquant_app.core.errors import RuleError, RuleFault, UsageError
from qtquant_app.core.matching import ignored_by, named, ruled_by
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.suggestions import nearest
from qtquant_app.engine.experts.splitting import kept_whole, rejoined
from qtquant_app.formats import Format
from qtquant_app.quant.methods import check as check_method

GROUP_SIZES = (256, 128, 64, 32, 16, 8)
WHY_KEPT = {
    Kind.HEAD: "an output head: kept unless a rule names it",
    Kind.EMBEDDING: "an embedding",
    Kind.NORM: "a norm",
    Kind.BIAS: "a bias",
    Kind.CONV: "a convolution",
    Kind.OTHER: "not a linear layer",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The scheme of a tensor, None where it is kept; why; and by which rule or ignore pattern, where by one of them."""

    scheme: Scheme | None
    reason: str
    rule: int | None = None
    ignored: str = ""


def choose(checkpoint: Checkpoint, recipe: Recipe, takes: frozenset[Kind] = frozenset()) -> list[Choice]:
    """The choice for every tensor, in order. Embeddings are kept, unless `takes` has them and a rule names them.

    Raises RuleError with every pattern that names nothing or never applies.
    """
    tied = bool(checkpoint.config.get("tie_word_embeddings"))
    embeddings = _embeddings(checkpoint) if Kind.EMBEDDING in takes else {}
    found = _choices(checkpoint, recipe, embeddings)
    faults = list(_dead(checkpoint, recipe, embeddings))
    if tied:
        faults += _tied_heads(zip(checkpoint.tensors, found, strict=True), recipe)
    known = {fault.rule for fault in faults}
    used = {choice.rule for choice in found}
    for at in range(len(recipe.rules)):
        if at not in used and at not in known:
            faults.append(_shadowed(at, recipe, zip(checkpoint.tensors, found, strict=True)))
    if faults:
        raise RuleError(sorted(faults, key=lambda fault: -1 if fault.rule is None else fault.rule))
    return found


def adapted(checkpoint: Checkpoint, choices: list[Choice], format: Format) -> list[Choice]:
    """The choices as `format` carries them out: it may give a tensor another scheme, and one to what the recipe leaves alone."""
    schemes = [choice.scheme for choice in choices]
    free = [c.scheme is None and c.rule is None and not c.ignored for c in choices]
    found = format.adapted(checkpoint, schemes, free)
    if found is schemes:
        return choices
    changed: dict[tuple[int, int], Choice] = {}
    return [
        choice
        if scheme is choice.scheme
        else changed.setdefault((id(choice), id(scheme)), replace(choice, scheme=scheme, reason=_why(choice, scheme)))
        for choice, scheme in zip(choices, found, strict=True)
    ]


def with_whole_stacks(checkpoint: Checkpoint, choices: list[Choice], format: Format) -> tuple[Checkpoint, list[Choice]]:
    """The checkpoint with those stacks of experts as they are stored of which nothing is quantized, and the choices for it.

    Readers know a stack by its own name; the matrices in it have other names, and are told apart only to be quantized.
    """
    if not checkpoint.stacks or not format.keeps_stacks:
        return checkpoint, choices
    chosen = dict(zip((tensor.name for tensor in checkpoint.tensors), choices, strict=True))
    whole = kept_whole(checkpoint, {name for name, choice in chosen.items() if choice.scheme is not None})
    firsts = {stack.tensor.name: chosen[stack.name(0, 0)] for stack in checkpoint.stacks if stack.tensor.name in whole}
    joined = rejoined(checkpoint, whole)
    return joined, [chosen.get(tensor.name) or firsts[tensor.name] for tensor in joined.tensors]


def _why(choice: Choice, scheme: Scheme | None) -> str:
    if scheme is None and choice.scheme is not None:
        return "the format holds floats"
    if choice.scheme is None or scheme is None:
        return choice.reason
    return f"{choice.reason}: {choice.scheme.label} becomes {scheme.label}"


def _embeddings(checkpoint: Checkpoint) -> dict[str, str]:
    """Embeddings that could be quantized: tensor to module."""
    return {
        t.name: t.module
        for t in checkpoint.tensors
        if t.kind == Kind.EMBEDDING and len(t.shape) == 2 and t.dtype in QUANTIZABLE and t.tied_to is None
    }


def _choices(checkpoint: Checkpoint, recipe: Recipe, embeddings: Mapping[str, str]) -> list[Choice]:
    """The choice for every tensor; those that are made alike share one object."""
    by_default, head = Choice(recipe.default, "the default scheme"), Choice(None, WHY_KEPT[Kind.HEAD])
    by_pattern = {p: Choice(None, f"ignored by {p}", ignored=p) for p in recipe.ignore}
    by_rule = [_of_rule(at, rule) for at, rule in enumerate(recipe.rules)]
    ignored, ruled = ignored_by(recipe, checkpoint), ruled_by(recipe, checkpoint)
    decided = {tensor.name for tensor in checkpoint.quantizable}
    found = []
    for tensor, module in zip(checkpoint.tensors, checkpoint.modules, strict=True):
        if tensor.name not in decided and not (tensor.name in embeddings and (module in ignored or module in ruled)):
            found.append(_undecided(tensor))
        elif module in ignored:
            found.append(by_pattern[ignored[module]])
        elif module in ruled:
            found.append(by_rule[ruled[module]])
        else:
            found.append(head if tensor.kind == Kind.HEAD else by_default)
    return found


def _of_rule(at: int, rule: Rule) -> Choice:
    if isinstance(rule.scheme, str):
        return Choice(None, f"kept by the rule {rule.pattern}", at)
    return Choice(rule.scheme, f"the rule {rule.pattern}", at)


def _undecided(tensor: TensorInfo) -> Choice:
    return Choice(None, f"shares its bytes with {tensor.tied_to}" if tensor.tied_to is not None else _why_not(tensor))


def _why_not(tensor: TensorInfo) -> str:
    if tensor.kind in WHY_KEPT and tensor.kind != Kind.HEAD:
        return WHY_KEPT[tensor.kind]
    if tensor.kind == Kind.EXPERT and tensor.dtype in QUANTIZABLE:
        return "experts that lie together in a way that is not known here"
    return f"{tensor.dtype} {list(tensor.shape)} is not a float matrix"


def _dead(checkpoint: Checkpoint, recipe: Recipe, embeddings: Mapping[str, str]) -> Iterable[RuleFault]:
    """Patterns that name nothing, and rules that name nothing that can be quantized."""
    modules = (*checkpoint.quantizable_modules, *embeddings.values())
    possible = frozenset(modules)
    patterns: list[tuple[int | None, str]] = [(None, pattern) for pattern in recipe.ignore]
    patterns += [(at, rule.pattern) for at, rule in enumerate(recipe.rules)]
    for at, pattern in patterns:
        found = named(checkpoint, pattern)
        if not possible.isdisjoint(found):
            continue
        if found:
            if at is not None:
                text = f"the rule {pattern!r} matches only tensors that cannot be quantized"
                yield RuleFault(pattern, at, text, "rules are for linear layers, experts and heads", "dead-rule")
            continue
        near = nearest(pattern, modules)
        text = f"the pattern {pattern!r} matches no module of {checkpoint.label}"
        yield RuleFault(pattern, at, text, _did_you_mean(near, modules), "dead-rule", patterns=near)


def _did_you_mean(near: Sequence[str], modules: Sequence[str]) -> str:
    if near:
        return f"did you mean {' or '.join(near)}?"
    example = ", ".join(modules[:2])
    return f"modules are named like {example}" if example else "the checkpoint has no linear layers"


def _tied_heads(pairs: Iterable[tuple[TensorInfo, Choice]], recipe: Recipe) -> Iterable[RuleFault]:
    for tensor, choice in pairs:
        if tensor.kind == Kind.HEAD and choice.rule is not None and choice.scheme is not None:
            pattern = recipe.rules[choice.rule].pattern
            text = f"{tensor.name} is tied to the embedding, so the rule {pattern!r} cannot quantize it alone"
            hint = "leave it out of the rule, or untie the two when the model is saved"
            yield RuleFault(pattern, choice.rule, text, hint, "tied-head")


def _shadowed(at: int, recipe: Recipe, pairs: Iterable[tuple[TensorInfo, Choice]]) -> RuleFault:
    """A rule that matches something, all of which others have taken before it."""
    pattern = recipe.rules[at].pattern
    rules: dict[int, None] = {}
    ignored: dict[str, None] = {}
    for tensor, choice in pairs:
        if tensor.quantizable and matches(pattern, tensor.module):
            if choice.rule is not None:
                rules[choice.rule] = None
            elif choice.ignored:
                ignored[choice.ignored] = None
    before = [recipe.rules[other].pattern for other in rules]
    names = ", ".join(map(repr, (*before, *ignored)))
    kind = "earlier rules" if not ignored else "ignore patterns" if not before else "earlier rules and ignore patterns"
    text = f"the rule {pattern!r} never applies: {kind} take all it matches ({names})"
    hint = f"move it up, before {recipe.rules[min(rules)].pattern}, or remove it" if before else "remove one of the two"
    return RuleFault(pattern, at, text, hint, "shadowed-rule", before=min(rules, default=None))


def contradiction(at: int, recipe: Recipe, tensors: Sequence[TensorInfo], format: Format) -> RuleFault | None:
    """What `format` or the method has against the scheme of a rule for the tensors that it decides; None where nothing.

    The schemes offered in its place are the nearest that fit all of them.
    """
    rule = recipe.rules[at]
    if isinstance(rule.scheme, str):
        return None
    why, hint, code = _against(rule.scheme, tensors, format)
    if not why:
        return None
    fitting = [scheme.label for scheme in _near(rule.scheme, format) if not _against(scheme, tensors, format)[0]][:2]
    hint = f"give it {' or '.join(fitting)}" if fitting else hint or "choose another scheme or format"
    text = f"the rule {rule.pattern!r} cannot give {rule.scheme.label}: {why}"
    return RuleFault(rule.pattern, at, text, hint, code, schemes=tuple(fitting))


def _against(scheme: Scheme, tensors: Iterable[TensorInfo], format: Format) -> tuple[str, str, str]:
    """Why not, what to do, and the code; empty where there is nothing against it."""
    try:
        check_method(scheme)
    except UsageError as error:
        return error.message, error.hint, error.code
    for tensor in tensors:
        refusal = format.refuses(tensor, scheme)
        if refusal:
            return f"{tensor.name}: {refusal}", "", "format-constraint"
    return "", "", ""


def _near(scheme: Scheme, format: Format) -> Iterable[Scheme]:
    """Schemes with one part changed, and else with two; those that change least come first."""
    if scheme.type == "float":
        yield from (
            replace(scheme, bits=8, strategy="channel", group_size=None, method=m) for m in (scheme.method, "rtn")
        )
        return
    sizes = sorted(GROUP_SIZES, key=lambda size: abs(size - (scheme.group_size or 128)))
    grouped = [replace(scheme, group_size=size) for size in sizes] if scheme.strategy == "group" else []
    channel = replace(scheme, strategy="channel", group_size=None)
    bits = sorted(format.bits, key=lambda bits: (abs(bits - scheme.bits), -bits))
    widths = [] if scheme.activations != "none" else [replace(scheme, bits=width) for width in bits]
    yield from (
        *grouped,
        *widths,
        replace(scheme, symmetric=True, offset="integer"),
        channel,
        replace(scheme, method="rtn"),
    )
    yield from (replace(other, group_size=size) for other in widths for size in sizes if other.strategy == "group")
