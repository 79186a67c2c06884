"""What the executable runs: the command line, and without arguments (a double click) the window."""

from __future__ import annotations

import multiprocessing
import sys

if __name__ == "__main__":
    multiprocessing.freeze_support()  # in a worker the program ends in here
    from zemosaic.cli import main

    sys.exit(main(sys.argv[1:] or ["gui"]))
