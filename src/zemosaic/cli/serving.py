"""Commands for other programs: `catalogue` for plate solvers, `completion` for shells."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from zemosaic.cli.flags import new_parser, offer, parsed
from zemosaic.cli.session import DONE

__all__ = ["SHELLS", "TRIED", "catalogue", "catalogue_parser", "completion", "completion_parser"]

SHELLS = {  # and how a shell takes up what is printed for it
    "bash": 'eval "$(zemosaic completion bash)"      in ~/.bashrc',
    "zsh": 'eval "$(zemosaic completion zsh)"       at the end of ~/.zshrc',
    "fish": "zemosaic completion fish | source       in ~/.config/fish/config.fish",
    "powershell": "zemosaic completion powershell | Out-String | Invoke-Expression       in $PROFILE",
}
TRIED = (
    "`zemosaic` has to be found by its name there. Tried in bash, zsh and fish; what PowerShell gets has not been tried,\n"
    "and the old command prompt (cmd.exe) has nothing of the kind."
)
# zsh completes nothing by itself before this was called; -i: without a question about folders that others may write
ZSH_COMPLETES = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }"
CELLS = ("1476", "290")  # of `zemosaic.astap_database.LAYOUTS`


def catalogue_parser() -> argparse.ArgumentParser:
    text = "Write the built-in star catalogue (Tycho-2) for other programs."
    parser = new_parser("catalogue", "export --format astap DIR [flags]", text)
    parser.add_argument("action", choices=["export"], metavar="export", help="what to do")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder for the files; made when absent")
    formats = "whose format. Example: --format astap."
    parser.add_argument("--format", required=True, choices=["astap"], help=formats)
    cells = "only the database with so many areas; default: both. Example: --cells 1476."
    parser.add_argument("--cells", choices=list(CELLS), help=cells)
    return parser


def catalogue(arguments: list[str]) -> int:
    given = parsed(catalogue_parser(), arguments)
    from zemosaic.astap_database import LAYOUTS, write_astap_database
    from zemosaic.catalogue import load_catalogue

    for layout in [LAYOUTS[given["cells"]]] if "cells" in given else LAYOUTS.values():
        written = write_astap_database(load_catalogue(), given["folder"], layout)
        print(f"{written} stars in {layout.cells.sum()} files {given['folder'] / layout.name}_*{layout.suffix}")
    return DONE


def completion_parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {line}" for line in SHELLS.values())
    text = "Print what makes a shell complete commands, flags and their values at the Tab key."
    text += f"\n{TRIED}\nTo switch it on:\n\n{lines}"
    parser = new_parser("completion", "SHELL", text)
    shell = parser.add_argument("shell", choices=list(SHELLS), metavar="SHELL", help=f"one of {', '.join(SHELLS)}")
    offer(shell, list(SHELLS))
    return parser


def completion(arguments: list[str]) -> int:
    from argcomplete.shell_integration import shellcode

    given = parsed(completion_parser(), arguments)
    code = shellcode(["zemosaic"], shell=given["shell"])
    if given["shell"] == "zsh":  # below the first line, which is for those who keep the code as a file
        code = code.replace("\n", f"\n{ZSH_COMPLETES}\n", 1)
    print(code)
    return DONE


def complete(parser: argparse.ArgumentParser, words: int) -> None:
    """Answer the shell that asks what may come next, and end; `words` of the line stand for the program."""
    import argcomplete

    os.environ["_ARGCOMPLETE"] = str(words)
    argcomplete.autocomplete(parser, always_complete_options="long")
