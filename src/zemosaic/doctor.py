"""What this computer has of what a run needs or can use: values, no words (those are `doctor.*` in the locales)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from zemosaic.catalogue import DATA, DIGESTS, load_catalogue
from zemosaic.errors import SettingsError
from zemosaic.execution import cores, free_memory, memory_budget
from zemosaic.kernel_cache import is_compiled, lasting_cache, provide_cache
from zemosaic.settings import Settings
from zemosaic.solvers.astap import find_astap, find_database
from zemosaic.solvers.astrometry_net import SolveField, find_solve_field, has_web_client, solve_field_files
from zemosaic.workers import local_workers, memory_for_tasks

__all__ = ["ABSENT", "BROKEN", "OK", "POOR", "Finding", "examined", "in_range", "requirements", "version_of"]

OK, POOR, ABSENT, BROKEN = "ok", "poor", "absent", "broken"  # absent: works without
GIGA, MEGA = 2.0**30, 2.0**20
LEAST_PYTHON = (3, 11)
LEAST_MEMORY = 2.0  # GB that are free
LEAST_DISK, LEAST_SPEED = 5.0, 30.0  # GB that are free, MB/s
TRIED = 64  # MB that are written to learn the speed of a disk
PIECE = os.urandom(2**20) * 4  # what is written: no disk compresses it
EXTRAS = (  # what is said of its absence, the extra, the package
    ("theme", "gui", "sv-ttk"),
    ("drop", "gui", "tkinterdnd2"),
    ("cluster", "cluster", "distributed"),
    ("web", "web", "astroquery"),
    ("hips", "hips", "astropy-healpix"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `doctor.SUBJECT.KIND` says what was found, `doctor.SUBJECT.KIND.todo` what to do."""

    subject: str
    state: str  # OK, POOR, ABSENT or BROKEN
    kind: str
    values: Mapping[str, object] = field(default_factory=dict)


def examined(settings: Settings, folder: Path) -> tuple[Finding, ...]:
    """Everything but the window; `folder` is there and lies on the disk that is tried."""
    return (
        *_python(),
        *_libraries(),
        *_extras(),
        _catalogue(),
        _told(lambda: _astap(settings), "astap"),
        _told(lambda: _astrometry_net(settings), "astrometry_net"),
        _cores(settings),
        _memory(settings),
        _disk(folder),
        _kernels(),
    )


def _told(look: Callable[[], Finding], subject: str) -> Finding:
    """A setting that leads nowhere is a finding."""
    try:
        return look()
    except SettingsError as error:
        return Finding(subject, BROKEN, "setting", {"why": str(error)})


def _python() -> Iterator[Finding]:
    system = {"system": platform.platform(terse=True), "machine": platform.machine()}
    yield Finding("system", OK, "known", system)
    version = {"version": platform.python_version(), "path": sys.executable}
    good = sys.version_info[:2] >= LEAST_PYTHON
    yield Finding("python", OK if good else BROKEN, "good" if good else "old", version)


def requirements(extra: str = "") -> dict[str, str]:
    """The libraries that the package (or one of its extras) asks for, and which versions of them: {"numpy": "<3,>=2.0"}."""
    found = {}
    for line in importlib.metadata.requires("zemosaic") or ():
        wanted, _, condition = line.partition(";")
        name, versions = re.match(r"([\w.-]+)\s*(.*)", wanted.strip()).groups()  # type: ignore[union-attr]
        of_extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        if (of_extra[1] if of_extra else "") == extra:
            found[name] = versions.strip()
    return found


def in_range(version: str, versions: str) -> bool:
    """Whether a version fits a range such as "<3,>=2.0"; only these two comparisons are used here."""
    for part in filter(None, versions.split(",")):
        least, most = part.partition(">="), part.partition("<")
        if least[1] and _numbers(version) < _numbers(least[2]):
            return False
        if most[1] and _numbers(version) >= _numbers(most[2]):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:4]]
    return (*numbers, *[0] * (4 - len(numbers)))


def _libraries() -> Iterator[Finding]:
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        yield Finding("libraries", POOR, "unknown")
        return
    good = []
    for name, versions in wanted.items():
        version = version_of(name)
        if version is None:
            yield Finding("libraries", BROKEN, "absent", {"name": name, "versions": versions})
        elif not in_range(version, versions):
            yield Finding("libraries", POOR, "other", {"name": name, "version": version, "versions": versions})
        else:
            good.append(f"{name} {version}")
    yield Finding("libraries", OK, "good", {"names": ", ".join(good)})


def version_of(name: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _extras() -> Iterator[Finding]:
    for kind, extra, name in EXTRAS:
        version = version_of(name)
        if version is None:
            yield Finding("extra", ABSENT, kind, {"name": name})
        else:
            yield Finding("extra", OK, "good", {"extra": extra, "name": name, "version": version})


def _catalogue() -> Finding:
    for name, digest in DIGESTS.items():
        path = DATA / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return Finding("catalogue", BROKEN, "damaged", {"path": str(path)})
    return Finding("catalogue", OK, "good", {"stars": len(load_catalogue())})


def _astap(settings: Settings) -> Finding:
    program = find_astap(settings.astap_executable_path)
    if program is None:
        return Finding("astap", ABSENT, "absent")
    database = find_database(settings.astap_data_directory_path, program)
    if database is None:
        return Finding("astap", POOR, "no_database", {"path": str(program)})
    values = {"path": str(program), "database": database.name, "folder": str(database.folder)}
    return Finding("astap", OK, "good", {**values, "density": round(database.density)})


def _astrometry_net(settings: Settings) -> Finding:
    program, indexes, config = find_solve_field(settings.astrometry_local_path)
    if program is None:
        if has_web_client() and settings.astrometry_api_key:
            return Finding("astrometry_net", OK, "web")
        return Finding("astrometry_net", ABSENT, "absent")
    solve_field = SolveField(program, indexes, config, settings.solver_timeout, Path())
    count = sum(path.name.startswith("index-") for path in solve_field_files(solve_field))
    values = {"path": str(program), "count": count}
    return Finding("astrometry_net", OK if count else POOR, "good" if count else "no_index", values)


def _cores(settings: Settings) -> Finding:
    values = {"cores": cores(), "workers": local_workers(settings, memory_for_tasks(settings))}
    return Finding("cores", OK, "good", values)


def _memory(settings: Settings) -> Finding:
    free, total = free_memory() / GIGA, psutil.virtual_memory().total / GIGA
    enough = free >= LEAST_MEMORY
    values = {"free": free, "total": total, "budget": memory_budget(settings.memory_limit) / GIGA}
    return Finding("memory", OK if enough else POOR, "good" if enough else "little", values)


def _disk(folder: Path) -> Finding:
    """Free room and speed of the disk where a folder lies."""
    values: dict[str, object] = {"path": str(folder)}
    try:
        free = psutil.disk_usage(str(folder)).free / GIGA
        write, read = _speed(folder) if free > 1.0 else (0.0, 0.0)
    except OSError as error:
        return Finding("disk", BROKEN, "refused", {**values, "why": error.strerror or str(error)})
    values |= {"free": free, "write": write, "read": read}
    if free < LEAST_DISK:
        return Finding("disk", POOR, "little", values)
    if write < LEAST_SPEED:
        return Finding("disk", POOR, "slow", values)
    return Finding("disk", OK, "good" if read else "written", values)


def _speed(folder: Path) -> tuple[float, float]:
    """MB/s of writing and of reading; 0 for reading where the system cannot be told to forget what it has just written."""
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.monotonic()
        for _ in range(TRIED * 2**20 // len(PIECE)):
            file.write(PIECE)
        file.flush()
        os.fsync(file.fileno())
        write = TRIED / max(1e-3, time.monotonic() - began)
        if not hasattr(os, "posix_fadvise"):
            return write, 0.0
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.monotonic()
        file.seek(0)
        while file.read(len(PIECE)):
            continue
        return write, TRIED / max(1e-3, time.monotonic() - began)


def _kernels() -> Finding:
    """Where compiled kernels are kept, and whether those of an assembly are there."""
    folder = provide_cache(str(Path(__file__).parent / "kernels" / "_jit.py"))
    warm = is_compiled("resample") and is_compiled("stars")
    values = {"path": str(folder), "count": sum(1 for _ in folder.rglob("*.nbi"))}
    if not lasting_cache(folder):
        return Finding("kernels", POOR, "temporary", values)
    return Finding("kernels", OK, "warm" if warm else "cold", values)
