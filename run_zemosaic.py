"""`python run_zemosaic.py [INPUT OUTPUT] [flags]`, from a checkout, as in the first release.

With INPUT and OUTPUT it is `zemosaic run`, without them `zemosaic gui`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from zemosaic.cli import main

if __name__ == "__main__":
    sys.exit(main(script=True))
