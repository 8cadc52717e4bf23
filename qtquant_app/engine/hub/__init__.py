"""The Hub, read: models found, looked into and fetched. What its client raises is said here in one sentence with a hint."""

from __future__ import annotations

from qtquant_app.engine.hub.files import fetch
from qtquant_app.engine.hub.names import HubId, hub_id

__all__ = ["HubId", "fetch", "hub_id"]
