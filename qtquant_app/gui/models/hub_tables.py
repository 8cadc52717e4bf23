"""What the tables about the Hub show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtquant_app.core.hub import UNKNOWN, CachedModel, HubModel, Quantization
from qtquant_app.core.quantities import NOTHING, bytes_text, parameters_text
from qtquant_app.gui.models.rows import Column

if TYPE_CHECKING:
    from qtquant_app.engine.publish.state import Unfinished

_DAY = 86_400


def size_text(model: HubModel) -> str:
    """Parameters and bytes, as far as they are known."""
    known = [parameters_text(model.parameters)] if model.parameters else []
    known += [bytes_text(model.bytes)] if model.bytes else []
    return ", ".join(known) or NOTHING


def gated_text(model: HubModel) -> str:
    """Whether everybody is let in, and how others are."""
    if model.private:
        return "private"
    return {"auto": "accept terms", "manual": "ask"}.get(model.gated, "open")


def _between(found: Quantization) -> str:
    if not found.most_bytes:
        return NOTHING
    if found.least_bytes == found.most_bytes:
        return bytes_text(found.most_bytes)
    return f"{bytes_text(found.least_bytes)} to {bytes_text(found.most_bytes)}"


def _day(model: CachedModel) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(model.used)) if model.used > _DAY else NOTHING


MODEL_COLUMNS = (
    Column("Model", lambda m: m.id, lambda m: m.id.lower(), "organisation/a-model"),
    Column("Downloads", lambda m: f"{m.downloads:,}", lambda m: m.downloads, "8,888,888", True),
    Column("Likes", lambda m: f"{m.likes:,}", lambda m: m.likes, "8,888", True),
    Column("Licence", lambda m: m.licence or UNKNOWN, lambda m: m.licence, "apache-2.0"),
    Column(
        "Size", size_text, lambda m: (m.bytes, m.parameters), "88.8 B, 888 GB", True, value=lambda m: m.bytes or None
    ),
    Column("Access", gated_text, gated_text, "accept terms"),
    Column("Updated", lambda m: m.updated or NOTHING, lambda m: m.updated, "2026-12-2"),
)
FILE_COLUMNS = (
    Column("File", lambda f: f.name, lambda f: f.name, "model-00001-of-00002.safetensors"),
    Column("Size", lambda f: bytes_text(f.bytes), lambda f: f.bytes, "888 MB", True, unit="bytes"),
)
QUANTIZED_COLUMNS = (
    Column("Quantized", lambda q: q.model.id, lambda q: q.model.id.lower(), "organisation/name-of-a-model"),
    Column("Format", lambda q: q.format, lambda q: q.format, "compressed-tensors"),
    Column("Size", _between, lambda q: q.most_bytes, "88.8 GB to 88.8 GB", True, value=lambda q: q.most_bytes or None),
    Column("Downloads", lambda q: f"{q.model.downloads:,}", lambda q: q.model.downloads, "88,888,888", True),
    Column("Updated", lambda q: q.model.updated or NOTHING, lambda q: q.model.updated, "2026-12-2"),
)
DOWNLOADED_COLUMNS = (
    Column("Model", lambda m: m.label, lambda m: m.label.lower(), "organisation/name-of-a-model", tip=lambda m: m.path),
    Column("Commit", lambda m: m.commit[:8], lambda m: m.commit, "0123abcd", tip=lambda m: m.commit),
    Column("Files", lambda m: f"{m.files:,}", lambda m: m.files, "888", True),
    Column("Size", lambda m: bytes_text(m.bytes), lambda m: m.bytes, "88.8 GB", True),
    Column("Last used", _day, lambda m: m.used, "2026-12-2"),
)


def _branch(upload: Unfinished) -> str:
    return (upload.branch or "main") + (", as a pull request" if upload.pull_request else "")


def _there(upload: Unfinished) -> int:
    """Of its files, how many the Hub has."""
    return sum(1 for _, digest in upload.files if digest in upload.sent)


UNFINISHED_COLUMNS = (
    Column("Unfinished upload", lambda u: u.repo, lambda u: u.repo, "organisation/name-of-a-model"),
    Column("Sent", lambda u: f"{_there(u):,} of {len(u.files):,}", _there, "88 of 888", True),
    Column("Branch", _branch, _branch, "main, as a pull request"),
    Column("Folder", lambda u: u.output, lambda u: u.output, "/home/someone/results/model-w4"),
)
