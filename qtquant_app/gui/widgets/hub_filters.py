"""What a search on the Hub is narrowed by: boxes in a line, each of which says what it is for."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from qtquant_app.core.hub import SORTS
from qtquant_app.gui.hub_query import HubQuery
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.flow import Flow

TASKS = (
    "text-generation",
    "image-text-to-text",
    "feature-extraction",
    "text-classification",
    "translation",
    "automatic-speech-recognition",
    "text-to-image",
)
LIBRARIES = ("transformers", "safetensors", "gguf", "mlx", "diffusers", "sentence-transformers", "onnx")
LICENCES = (
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "gemma",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "other",
)
SIZES = {
    "up to 1 B": ("", "1B"),
    "1 to 4 B": ("1B", "4B"),
    "4 to 10 B": ("4B", "10B"),
    "10 to 40 B": ("10B", "40B"),
    "over 40 B": ("40B", ""),
}
"""Parameters, from and to."""
_SORTED = {"downloads": "most downloads", "likes": "most likes", "updated": "last updated", "created": "newest"}


class HubFilters(QWidget):
    """Task, library, licence, size, access and order."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.task = _box("hubTask", "Task", ["any task", *TASKS], ["", *TASKS])
        self.library = _box("hubLibrary", "Library", ["any library", *LIBRARIES], ["", *LIBRARIES])
        self.licence = _box("hubLicence", "Licence", ["any licence", *LICENCES], ["", *LICENCES])
        self.parameters = _box("hubSize", "Parameters", ["any size", *SIZES], [("", ""), *SIZES.values()])
        self.access = _box("hubAccess", "Access", ["open or gated", "open to all", "gated"], [None, False, True])
        self.order = _box("hubOrder", "Order", [_SORTED.get(sort, sort) for sort in SORTS], list(SORTS))
        self.order.setMinimumContentsLength(11)
        flow = Flow(self)
        flow.setSpacing(GRID)
        for box in self.boxes:
            flow.addWidget(box)
            box.currentIndexChanged.connect(self.changed)

    @property
    def boxes(self) -> tuple[ChoiceBox, ...]:
        return self.task, self.library, self.licence, self.parameters, self.access, self.order

    def query(self, words: str) -> HubQuery:
        """What is looked for, `words` among it."""
        least, most = self.parameters.currentData()
        return HubQuery(
            words=words.strip(),
            task=self.task.currentData(),
            library=self.library.currentData(),
            licence=self.licence.currentData(),
            gated=self.access.currentData(),
            least=least,
            most=most,
            sort=self.order.currentData(),
        )


def _box(name: str, spoken: str, texts: list[str], values: list[object]) -> ChoiceBox:
    box = ChoiceBox()
    box.setObjectName(name)
    box.setAccessibleName(spoken)
    for text, value in zip(texts, values, strict=True):
        box.addItem(text, value)
    box.setMinimumContentsLength(9)
    return box
