"""Chooses many tensors of the tree at once: all of a kind, one place in every block, a range of blocks, the worst by error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from PySide6.QtCore import QPoint, Signal
from PySide6.QtWidgets import QMenu

from qtquant_app.core.blocks import spot
from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.choosing import Survey, Wish, choosable, choose, survey
from qtquant_app.core.errors import PlanError, QtQuantError
from qtquant_app.gui.models.tensor_tree import TensorTree
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_popup import ChoicePopup
from qtquant_app.gui.widgets.export_menu import Entry, fill_menu
from qtquant_app.gui.widgets.text import mnemonic_safe
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

_NOTHING = PlanError("nothing that can be quantized is like that", hint="ask for less", code="no-match")


class ChooseButton(Button):
    """The choice itself is made in a worker, over the checkpoint; the tree then shows it."""

    chosen = Signal(object)
    """tuple[str, ...]: the names of the tensors, in the checkpoint's order, by error the worst first."""
    failed = Signal(object)
    """QtQuantError."""

    def __init__(self, model: TensorTree) -> None:
        super().__init__("Choose", name="chooseTensorsButton", tip="Choose many at once, for one rule")
        self._model = model
        self._checkpoint: Checkpoint | None = None
        self._tensor: TensorInfo | None = None
        self._surveyed = False
        self.popup = ChoicePopup(self)
        self._chooser, self._surveyor = Latest(self), Latest(self)
        menu = QMenu("Choose tensors", self)
        menu.setObjectName("chooseTensorsMenu")
        menu.setAccessibleName("Choose tensors")
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)
        self.setEnabled(False)
        self.popup.wanted.connect(self.wish)
        self._surveyor.result.connect(self.popup.set_survey)
        self._surveyor.failed.connect(self.failed)
        self._chooser.result.connect(self._take)
        self._chooser.failed.connect(self.failed)

    @property
    def busy(self) -> bool:
        """Whether a choice is still being made."""
        return self._chooser.busy

    def set_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint, self._tensor, self._surveyed = checkpoint, None, False
        self._chooser.cancel()
        self._surveyor.cancel()
        self.popup.close()
        self.setEnabled(checkpoint is not None)

    def look_at(self, tensor: TensorInfo | None) -> None:
        """The tensor whose kind and place the menu offers."""
        self._tensor = tensor

    def wish(self, wish: Wish) -> None:
        """Chooses what is asked for; `chosen` or `failed` follows."""
        checkpoint, known = self._checkpoint, self._model.known_errors() if wish.by_error else None
        if checkpoint is None:
            return

        def work() -> tuple[str, ...]:
            found = choose(choosable(checkpoint), wish, _called(known))
            if not found:
                raise _NOTHING
            return tuple(tensor.name for tensor in found)

        self._chooser.submit(once(work))

    def entries(self) -> Iterable[Entry | None]:
        """The lines of the menu; one that can do nothing says why."""
        tensor = self._tensor
        place = spot(tensor.name) if tensor else None
        if tensor is None or place is None:
            yield Entry("Of one kind, or in one place: look at a tensor first", None)
        elif not tensor.quantizable:
            yield Entry("This tensor is never quantized: nothing is like it", None)
        else:
            kind = tensor.kind.value
            yield Entry(f"All of this &kind: {kind}", lambda: self.wish(Wish(kind=kind)))
            if place.depth is None:
                yield Entry("The same place in every block: it is in none", None)
            else:
                wish = Wish(place=place.path, stack=place.stack)
                text = f"The same &place in every block: {mnemonic_safe(place.path)}"
                yield Entry(text, lambda: self.wish(wish))
        yield None
        yield Entry("By &block, kind or place…", self.ask)
        knows = self._model.known_errors() is not None
        yield Entry(
            "By &error…" if knows else "By error: none is known, scan the whole model",
            self.ask_error if knows else None,
        )

    def ask(self) -> None:
        """Opens the sheet below the button."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return
        if not self._surveyed:
            self._surveyed = True
            self.popup.set_survey(Survey({}, {}, None))
            self._surveyor.submit(once(lambda: survey(choosable(checkpoint))))
        self.popup.set_errors_known(self._model.known_errors() is not None)
        self.popup.adjustSize()
        self.popup.move(self.mapToGlobal(QPoint(0, self.height())))
        self.popup.show()
        self.popup.which_combo.setFocus()

    def ask_error(self) -> None:
        """Opens the sheet at its error."""
        self.ask()
        self.popup.ask_error()

    def _fill(self) -> None:
        self.menu().clear()
        fill_menu(self.menu(), self.entries())

    def _take(self, names: tuple[str, ...]) -> None:
        self.chosen.emit(names)


def _called(known: Callable[[], Mapping[str, float]] | None) -> Mapping[str, float]:
    return known() if known else {}


def told(error: QtQuantError) -> str:
    """An error in one line, for a footer."""
    return f"{error.message}; {error.hint}" if error.hint else error.message
