"""`python -m zemosaic.score MOSAIC TRUTH`: print the table; exit code 0 when all goals are met, else 1."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zemosaic.score.report import score


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m zemosaic.score", description="Score a mosaic against its truth.")
    parser.add_argument("mosaic", type=Path, help="the mosaic's FITS file")
    parser.add_argument("truth", type=Path, help="truth.json, or the folder that holds it")
    arguments = parser.parse_args()
    result = score(arguments.mosaic, arguments.truth)
    print(result.table())
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
