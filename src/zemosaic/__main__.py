"""`python -m zemosaic` is the same as `zemosaic`."""

from __future__ import annotations

import sys

from zemosaic.cli import main

if __name__ == "__main__":
    sys.exit(main())
