"""The language of a text: told where its letters or commonest words tell it, and else not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.calibration import Language
from qtquant_app.engine.samples.languages import UNKNOWN, language_of, languages_of
from qtquant_app.engine.text import BUILT_IN, read_text

PROSE = {
    "English": "It was late when the ferry came in, and most of the people on it had been asleep for an hour.",
    "German": "Es war spät, als die Fähre ankam, und die meisten Leute auf ihr hatten schon eine Stunde geschlafen.",
    "French": "Il était tard quand le bac est arrivé, et la plupart des gens dormaient depuis une heure sur le pont.",
    "Spanish": "Era tarde cuando llegó el barco, y la mayoría de las personas que iban en él dormían desde hacía una hora.",
    "Portuguese": "Era tarde quando o barco chegou, e a maior parte das pessoas que iam nele não acordou com o barulho.",
    "Italian": "Era tardi quando il traghetto è arrivato, e la maggior parte della gente che era a bordo non si svegliò.",
    "Dutch": "Het was laat toen de veerboot aankwam, en de meeste mensen die er op zaten waren niet meer wakker van het lawaai.",
    "Polish": "Było już późno, kiedy prom przypłynął, i większość ludzi na nim nie obudziła się do rana, bo to była długa noc.",
    "Russian": "Было уже поздно, когда паром пришёл, и почти все люди на нём спали, как это бывает в конце дня, но не он.",
    "Japanese": "船が着いたのは夜おそくで、乗っていた人のほとんどは一時間も眠っていた。",
    "Chinese": "渡轮到达时已经很晚了,船上的大多数人已经睡了一个小时。",
    "Korean": "배가 도착했을 때는 늦은 밤이었고 대부분의 사람들은 이미 잠들어 있었다.",
    "Greek": "Ήταν αργά όταν έφτασε το πλοίο και οι περισσότεροι επιβάτες κοιμούνταν.",  # noqa: RUF001
    "Arabic": "كان الوقت متأخرا عندما وصلت العبارة وكان معظم الناس نائمين.",
}


@pytest.mark.parametrize("name", PROSE)
def test_prose_is_told_by_its_letters_and_its_commonest_words(name: str) -> None:
    assert language_of(PROSE[name]) == name


@pytest.mark.parametrize(
    "text",
    ["", "1234 5678", "x = f(y); print(x)", "zxq wvu prt lkj mnb vcx", "\N{ROCKET}" * 50, "Lorem ipsum dolor sit amet"],
)
def test_what_nothing_tells_is_unknown(text: str) -> None:
    assert language_of(text) == UNKNOWN


def test_the_built_in_text_is_english() -> None:
    assert [entry.name for entry in languages_of([read_text(BUILT_IN).content])] == ["English"]


def test_shares_are_of_characters_and_the_largest_comes_first() -> None:
    found = languages_of([PROSE["German"], PROSE["English"] * 3, PROSE["English"]])
    german, english = len(PROSE["German"]), 4 * len(PROSE["English"])
    whole = german + english
    assert found == (Language("English", english / whole), Language("German", german / whole))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(min_size=1)))
def test_shares_add_up_to_all(texts: list[str]) -> None:
    found = languages_of(texts)
    assert sum(entry.share for entry in found) == pytest.approx(1.0 if texts else 0.0)
