"""`python -m qtquant_app` is `qtquant`."""

import sys

from qtquant_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
