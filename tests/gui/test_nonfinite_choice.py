"""What becomes of weights that are not finite is chosen beside the recipe's other knobs."""

from __future__ import annotations

import pytest

from qtquant_app.core.recipe import POLICIES
from qtquant_app.gui.widgets.nonfinite_choice import NonFiniteChoice
from tests.gui.conftest import *  # noqa: F403
