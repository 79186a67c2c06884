"""Which programs of others a run may call: found before the run begins, so that what is missing is said early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from zemosaic.errors import SettingsError
from zemosaic.settings import Settings
from zemosaic.solvers import Solver
from zemosaic.solvers.astap import Astap, AstapSolver, astap_files, find_astap, find_database
from zemosaic.solvers.astrometry_net import (
    AstrometryNetSolver,
    SolveField,
    WebService,
    WebSolver,
    find_solve_field,
    has_web_client,
    solve_field_files,
)
from zemosaic.solvers.programs import Trace, traces

__all__ = ["NOBODY", "External", "external_solvers", "find_external", "installed"]

Found = TypeVar("Found")


@dataclass(frozen=True)
class External:
    """Programs of others, those that are there and may be asked."""

    astap: Astap | None = None
    solve_field: SolveField | None = None
    web: WebService | None = None


NOBODY = External()


def find_external(settings: Settings, scratch: Path) -> tuple[External, tuple[str, ...]]:
    """The programs that `solver_method` allows, and what the user should know about settings that lead nowhere.

    Raises
    ------
    SettingsError
        `solver_method` names a program that is not there.
    """
    method = settings.solver_method
    if method == "astap":
        return External(astap=_astap(settings, scratch)), ()
    if method == "astrometry_net":
        return _astrometry_net(settings, scratch), ()
    if method != "auto":
        return NOBODY, ()
    notes: list[str] = []
    astap = _if_there(lambda: _astap(settings, scratch), settings.astap_executable_path, notes)
    solve_field = _if_there(lambda: _solve_field(settings, scratch), settings.astrometry_local_path, notes)
    return External(astap=astap, solve_field=solve_field), tuple(notes)


def _if_there(find: Callable[[], Found], setting: str, notes: list[str]) -> Found | None:
    """Nothing is required in `auto`; a setting that leads nowhere is worth a word."""
    try:
        return find()
    except SettingsError as error:
        if setting:
            notes.append(f"{error}; the run goes on without it")
        return None


def _astap(settings: Settings, scratch: Path) -> Astap:
    program = find_astap(settings.astap_executable_path)
    if program is None:
        raise SettingsError(
            "ASTAP was not found: install it, or set astap_executable_path, or use solver_method = auto"
        )
    database = find_database(settings.astap_data_directory_path, program)
    if database is None:
        raise SettingsError(
            f"{program.name} was found, but no star database for it: install one (D05 or D20), or write one with "
            "`zemosaic catalogue export --format astap DIR` and set astap_data_directory_path = DIR"
        )
    return Astap(program, database, settings.astap_default_downsample, settings.solver_timeout, scratch)


def _solve_field(settings: Settings, scratch: Path) -> SolveField:
    program, indexes, config = find_solve_field(settings.astrometry_local_path)
    if program is None:
        raise SettingsError("solve-field of astrometry.net was not found: install it, or set astrometry_local_path")
    return SolveField(program, indexes, config, settings.solver_timeout, scratch)


def _astrometry_net(settings: Settings, scratch: Path) -> External:
    """The local program; the web service only where there is none and a key is set."""
    try:
        return External(solve_field=_solve_field(settings, scratch))
    except SettingsError as error:
        if not settings.astrometry_api_key:
            raise SettingsError(f"{error}; or set astrometry_api_key to use the web service") from error
    if not has_web_client():
        raise SettingsError('the web service of astrometry.net needs astroquery: pip install "zemosaic[web]"')
    return External(web=WebService(settings.astrometry_api_key, settings.solver_timeout))


def installed(external: External) -> tuple[External, tuple[Trace, ...]]:
    """What the answers of these programs depend on: how they are set, and their files; another version has others."""
    astap, solve_field = external.astap, external.solve_field
    files = [
        *(astap_files(astap) if astap is not None else ()),
        *(solve_field_files(solve_field) if solve_field is not None else ()),
    ]
    nowhere = Path()  # scratch lies in the output folder, which may be moved
    set_so = replace(
        external,
        astap=None if astap is None else replace(astap, scratch=nowhere),
        solve_field=None if solve_field is None else replace(solve_field, scratch=nowhere),
    )
    return set_so, traces(files)


@lru_cache(maxsize=4)
def external_solvers(external: External) -> tuple[Solver, ...]:
    """In the order in which they are asked."""
    solvers: list[Solver] = []
    if external.astap is not None:
        solvers.append(AstapSolver(external.astap))
    if external.solve_field is not None:
        solvers.append(AstrometryNetSolver(external.solve_field))
    if external.web is not None:
        solvers.append(WebSolver(external.web))
    return tuple(solvers)
