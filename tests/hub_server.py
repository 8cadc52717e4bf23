"""The Hub on the loopback address, under the name by which tests of files alone know it."""

from __future__ import annotations

from tests.hub.repos import MAIN, Repo
from tests.hub.server import HubServer, serving

__all__ = ["MAIN", "HubServer", "Repo", "serving"]
