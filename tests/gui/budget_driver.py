"""Works the Budget tab as a person does."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.budget import ALLOWED
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.budget_card import BudgetCard
from qtquant_app.gui.widgets.page import scrolled
from tests.checkpoints import small_llama

W2, W4, W8 = (Scheme(bits, group_size=32) for bits in (2, 4, 8))
FEW = (W2, W4, W8)


def card_on_its_tab(qtbot: QtBot, session: Session, settings: Settings) -> BudgetCard:
    """The card as it lies on its tab, with the schemes that it offers."""
    card = BudgetCard(session, settings)
    area = scrolled(card)
    qtbot.addWidget(area)
    area.resize(720, 520)
    area.show()
    qtbot.waitExposed(area)
    qtbot.waitUntil(lambda: bool(card.setup.treatments.boxes), timeout=20_000)
    card.area = area  # type: ignore[attr-defined]  # it lives as long as the card
    return card


def opened(qtbot: QtBot, session: Session, tmp_path: Path, name: str = "model") -> None:
    session.open(str(small_llama(tmp_path / name)))
    qtbot.waitUntil(lambda: session.checkpoint is not None and session.checkpoint.path.name == name, timeout=20_000)


def allow_few(card: BudgetCard) -> None:
    card.setup.treatments.offer(ALLOWED, FEW)
    for treatment, box in card.setup.treatments.boxes.items():
        box.setChecked(treatment in FEW)


def measured(qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path) -> None:
    """The small checkpoint is measured under a few schemes, and the first mix shows."""
    opened(qtbot, session, tmp_path)
    allow_few(card)
    QTest.mouseClick(card.bar.measure_button, Qt.MouseButton.LeftButton)
    solved(qtbot, card)


def solved(qtbot: QtBot, card: BudgetCard) -> None:
    """The mix for what is asked for shows."""
    budgeter = card.budgeter
    qtbot.waitUntil(lambda: budgeter.reach is not None, timeout=30_000)
    qtbot.waitUntil(
        lambda: not budgeter.solving and budgeter.budget is not None and card.result.budget is budgeter.budget,
        timeout=30_000,
    )


def ask(qtbot: QtBot, card: BudgetCard, kind: str) -> None:
    card.target_bar.kind.setCurrentIndex(card.target_bar.kind.findData(kind))
    solved(qtbot, card)


def words_of(card: BudgetCard) -> str:
    return " ".join(label.text() for label in card.findChildren(QLabel) if label.isVisible())
