"""`python -m tests.unit.engine.fetching.slowly WORDS`: `qtquant WORDS` in small steps, so that it can be killed between any two."""

from __future__ import annotations

import sys

from qtquant_app.cli.main import main
from qtquant_app.engine import commit
from qtquant_app.engine.fetching import pieces

if __name__ == "__main__":
    commit.SECONDS_BETWEEN_COMMITS = 0.02
    pieces.PIECE = 1 << 14
    sys.exit(main(sys.argv[1:]))
