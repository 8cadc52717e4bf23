"""A Hub with a few models on it, and what the window's tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.steps import Step
from qtquant_app.gui.widgets.hub_panel import HubPanel
from tests.hub.client import use
from tests.hub.contents import Content
from tests.hub.giants import CONFIG, giant
from tests.hub.repos import Account, Repo
from tests.hub.server import HubServer, serving

TOKEN = "hf_made_up_for_a_window_test"
BASE, GATED, SMALL_ONE = "maker/base", "maker/gated", "other/base-w4"
CARD = b"---\nlicense: mit\n---\n# Base\n\nRead **me**. ![x](https://example.invalid/x.png)\n"
_SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY = {**CONFIG, **_SIZES, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 128}


@contextmanager
def window_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[HubServer]:
    """Three models: one with two branches, one gated, one quantized from the first. `someone` of `org` may sign in."""
    with serving() as server:
        use(server.url, monkeypatch, folder / "hub")
        monkeypatch.chdir(folder)
        base = _add(server, BASE, {**giant(TINY, 2), "README.md": CARD}, downloads=300, likes=3, tags=["license:mit"])
        base.revisions["other"] = {**base.revisions["main"], "more.txt": b"more"}
        _add(server, GATED, {**giant(TINY, 1), "README.md": CARD}, downloads=200).gated = "manual"
        tags = ["awq", f"base_model:quantized:{BASE}", f"base_model:{BASE}"]
        _add(server, SMALL_ONE, {"config.json": b"{}", "model.safetensors": bytes(1234)}, downloads=100, tags=tags)
        server.accounts[TOKEN] = Account("someone", ("org",))
        yield server


def _add(server: HubServer, name: str, files: dict[str, Content], **info: object) -> Repo:
    made = server.add(name, files)
    made.info.update(info)
    return made


def shown_hub(qtbot: QtBot, window: MainWindow) -> HubPanel:
    """The Hub's panel, in front, with what its first search found."""
    window.go(Step.SOURCE)
    panel = window.source_page.hub_panel
    window.source_page.tabs.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: panel.models.rowCount() > 0 or panel.notice.isVisible(), timeout=20_000)
    return panel


def chosen(qtbot: QtBot, panel: HubPanel, repo: str) -> None:
    """Chooses a model in the table, and waits for its page."""
    rows = [panel.models.row(at).id for at in range(panel.models.rowCount())]
    panel.table.selectRow(rows.index(repo))
    found = lambda: panel.view.looked is not None and panel.view.looked.page.model.id == repo  # noqa: E731
    qtbot.waitUntil(found, timeout=20_000)
