"""What tells one recipe from another, in values and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

ARROW = "\u2192"
PARTS = ("type", "bits", "strategy", "group_size", "symmetric", "method", "activations")


@dataclass(frozen=True, slots=True)
class RecipeDiff:
    """What becomes of one recipe on its way to another; pairs hold what was and what is. Equal recipes have an empty one."""

    default: tuple[Scheme, Scheme] | None
    format: tuple[str, str] | None
    added: tuple[Rule, ...]
    removed: tuple[Rule, ...]
    changed: tuple[tuple[Rule, Rule], ...]
    """Rules of one pattern with another scheme."""
    moved: tuple[Rule, ...]
    """Rules that stand elsewhere among those that stay."""
    ignored: tuple[str, ...]
    """Ignore patterns that come."""
    freed: tuple[str, ...]
    """Ignore patterns that go."""
    reordered: bool
    """The ignore patterns that stay, and the new ones, come in another order: it decides nothing."""
    nonfinite: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return self != _NONE

    def lines(self) -> tuple[tuple[str, str], ...]:
        """One line a difference: what kind of difference it is, and what differs."""
        found = []
        if self.default:
            found.append(("default", f"{self.default[0].label} {ARROW} {self.default[1].label}"))
        if self.format:
            found.append(("format", f"{self.format[0]} {ARROW} {self.format[1]}"))
        if self.nonfinite:
            found.append(("weights not finite", f"{self.nonfinite[0]} {ARROW} {self.nonfinite[1]}"))
        found += [("rule added", f"{rule.pattern}: {scheme_text(rule)}") for rule in self.added]
        found += [("rule removed", f"{rule.pattern}: {scheme_text(rule)}") for rule in self.removed]
        for was, now in self.changed:
            found.append(("rule changed", f"{now.pattern}: {scheme_text(was)} {ARROW} {scheme_text(now)}"))
        found += [("rule moved", rule.pattern) for rule in self.moved]
        found += [("ignored", pattern) for pattern in self.ignored]
        found += [("ignored no more", pattern) for pattern in self.freed]
        return (*found, ("ignored", "the same patterns in another order")) if self.reordered else tuple(found)


_NONE = RecipeDiff(None, None, (), (), (), (), (), (), False)


def scheme_text(rule: Rule) -> str:
    """What a rule gives: the label of its scheme, or `keep`."""
    return rule.scheme if isinstance(rule.scheme, str) else rule.scheme.label


def diff(before: Recipe, after: Recipe) -> RecipeDiff:
    """The differences between two recipes. Rules are told apart by their patterns; the second of one pattern is another rule."""
    old, new = _keyed(before.rules), _keyed(after.rules)
    stay = [key for key in old if key in new]
    ignored, freed = _surplus(after.ignore, before.ignore), _surplus(before.ignore, after.ignore)
    kept = [pattern for pattern in before.ignore if pattern not in freed]
    return RecipeDiff(
        default=(before.default, after.default) if before.default != after.default else None,
        format=(before.format, after.format) if before.format != after.format else None,
        added=tuple(rule for key, rule in new.items() if key not in old),
        removed=tuple(rule for key, rule in old.items() if key not in new),
        changed=tuple((old[key], new[key]) for key in stay if old[key] != new[key]),
        moved=tuple(new[key] for key in _moved(stay, [key for key in new if key in old])),
        ignored=ignored,
        freed=freed,
        reordered=(*kept, *ignored) != after.ignore and not (ignored or freed),
        nonfinite=(before.nonfinite, after.nonfinite) if before.nonfinite != after.nonfinite else None,
    )


def edit_text(before: Recipe, after: Recipe) -> str:
    """One edit in a few words, as a menu says what it would undo: `rule for *.down_proj`, `bits 4 \u2192 3`."""
    found = diff(before, after)
    lines = found.lines()
    if len(lines) != 1:
        return _several(found) if found else "nothing"
    if found.default:
        return _scheme_edit(*found.default)
    if found.format:
        return f"format {found.format[1]}"
    if found.nonfinite:
        return f"{found.nonfinite[1]} what is not finite"
    for verb, rules in (("rule", found.added), ("removed rule", found.removed), ("moved rule", found.moved)):
        if rules:
            return f"{verb} for {rules[0].pattern}"
    if found.changed:
        return f"scheme of the rule for {found.changed[0][1].pattern}"
    if found.ignored:
        return f"ignoring {found.ignored[0]}"
    return f"ignoring {found.freed[0]} no more" if found.freed else "order of ignore patterns"


def edit_place(before: Recipe, after: Recipe) -> str:
    """Which one knob an edit turned, `default.bits` or `rule 2`; empty where it is no knob. Turning one on and on is one edit."""
    parts = ("default", "rules", "ignore", "format", "nonfinite")
    changed = [name for name in parts if getattr(before, name) != getattr(after, name)]
    if changed == ["default"]:
        return f"default.{'.'.join(_turned(before.default, after.default))}"
    if changed == ["rules"] and len(before.rules) == len(after.rules):
        at = [i for i, (was, now) in enumerate(zip(before.rules, after.rules, strict=True)) if was != now]
        if len(at) == 1 and before.rules[at[0]].pattern == after.rules[at[0]].pattern:
            return f"rule {at[0]}"
    return changed[0] if changed in (["ignore"], ["format"], ["nonfinite"]) else ""


def _keyed(rules: Iterable[Rule]) -> dict[tuple[str, int], Rule]:
    seen: Counter[str] = Counter()
    found = {}
    for rule in rules:
        found[rule.pattern, seen[rule.pattern]] = rule
        seen[rule.pattern] += 1
    return found


def _moved(old: Sequence[tuple[str, int]], new: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """As few as explain the other order."""
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    still = {key for block in matcher.get_matching_blocks() for key in new[block.b : block.b + block.size]}
    return [key for key in new if key not in still]


def _surplus(more: Sequence[str], less: Sequence[str]) -> tuple[str, ...]:
    left = Counter(less)
    found = []
    for pattern in more:
        if left[pattern]:
            left[pattern] -= 1
        else:
            found.append(pattern)
    return tuple(found)


def _turned(before: Scheme, after: Scheme) -> list[str]:
    return [part for part in PARTS if getattr(before, part) != getattr(after, part)]


def _scheme_edit(before: Scheme, after: Scheme) -> str:
    turned = _turned(before, after)
    if len(turned) == 1 and turned[0] != "symmetric":
        part = turned[0]
        return f"{part.replace('_', ' ')} {getattr(before, part)} {ARROW} {getattr(after, part)}"
    return f"scheme {after.label}"


def _several(found: RecipeDiff) -> str:
    if len(found.added) == len(found.removed) == 1 and len(found.lines()) == 2:
        return f"pattern {found.added[0].pattern}"
    if len(found.added) == 1 and not _beside_rules(found):
        return f"rule for {found.added[0].pattern}"
    if not _beside_rules(found):
        return "rules"
    if len(found.ignored) + len(found.freed) == len(found.lines()):
        return "ignore patterns"
    return "recipe"


def _beside_rules(found: RecipeDiff) -> bool:
    return bool(found.default or found.format or found.ignored or found.freed or found.nonfinite)
