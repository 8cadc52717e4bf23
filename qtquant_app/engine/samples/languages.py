"""What a text is probably written in: by its letters, and where these serve many languages by its commonest words.

A guess, and called so: a few function words of eleven languages in Latin letters and three in Cyrillic ones, and the scripts that
hardly more than one language uses. What has too few of them is unknown; code and tables are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from qtquant_app.core.calibration import Language

UNKNOWN = "unknown"
LOOKED_AT = 2000
"""Characters of each text."""
_LEAST_SHARE = 0.08
"""Of all words: running prose has a fifth to a half of its words among the commonest few of its language."""

_SCRIPTS = {
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
    "CJK": "Chinese",
    "ARABIC": "Arabic",
    "HEBREW": "Hebrew",
    "DEVANAGARI": "Hindi",
    "BENGALI": "Bengali",
    "THAI": "Thai",
    "GREEK": "Greek",
    "TAMIL": "Tamil",
    "ARMENIAN": "Armenian",
    "GEORGIAN": "Georgian",
}
_WORDS = {
    name: frozenset(words.split())
    for name, words in {
        "English": "the of and to in is that it for was on are as with be this by at from or have not which you",
        "German": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden",
        "French": "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se il",
        "Spanish": "de la que el en y los se del las un por con no una su para es al lo como más pero",
        "Portuguese": "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao foi",
        "Italian": "di che e la il un a per in una è non sono le si con i da del come della gli nel",
        "Dutch": "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij uit",
        "Polish": "i w na z się nie do to że jest o jak co po ale za od przez tego tak był które",
        "Turkish": "ve bir bu da de için ile çok ne daha gibi olarak kadar en ama o var olan sonra değil",
        "Swedish": "och i att det som en på är av för med till den har de inte om ett han var men",
        "Indonesian": "yang dan di untuk dengan dari ini itu pada tidak dalam adalah akan ke oleh juga ada atau sebagai",
        "Russian": "и в не на что я с он как это по но к из у за от же о так для бы его",  # noqa: RUF001
        "Ukrainian": "і в не на що з та як це до у за від але про його для він ми є або",  # noqa: RUF001
        "Bulgarian": "и на да се от за в не е с по са като че това до ще при или към",  # noqa: RUF001
    }.items()
}
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str:
    """The language of the first 2,000 characters, or "unknown"."""
    text = text[:LOOKED_AT]
    letters = [c for c in text if c.isalpha()]
    scripts = Counter(_script(c) for c in letters if ord(c) > 0x24F)
    if letters and sum(count for name, count in scripts.items() if name in _SCRIPTS) * 2 > len(letters):
        return _by_script(scripts)
    words = Counter(_WORD.findall(text.lower()))
    found = {name: sum(words[word] for word in common) for name, common in _WORDS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] >= max(3, _LEAST_SHARE * words.total()) else UNKNOWN


def languages_of(texts: Iterable[str]) -> tuple[Language, ...]:
    """The languages of `texts`, the largest share of characters first."""
    sizes: Counter[str] = Counter()
    for text in texts:
        sizes[language_of(text)] += len(text)
    whole = sizes.total()
    return tuple(Language(name, size / whole) for name, size in sizes.most_common() if whole and size)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def _by_script(scripts: Counter[str]) -> str:
    """Japanese is written with Chinese characters among its own letters."""
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if kana * 10 > scripts["CJK"] and kana:
        return "Japanese"
    return _SCRIPTS[max(_SCRIPTS, key=lambda name: scripts[name])]
