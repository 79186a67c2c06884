"""Files that are no longer asked for, once the mosaic has other pixels or is made anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import FIELD, Recorder, assembled, rewrite, simulated
from zemosaic.events import Note, Unchanged, Warned
from zemosaic.ledger import Ledger
from zemosaic.leftovers import clear_old_pixels, unasked
from zemosaic.messages import Messages, sentence
from zemosaic.names import stamp
from zemosaic.phases.export import Outputs
from zemosaic.simulate import Night


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return simulated(tmp_path_factory.mktemp("night"), replace(FIELD, subs=5, satellites=0.0))


def test_what_shows_older_pixels_goes_unless_somebody_has_changed_it(tmp_path: Path) -> None:
    names = [tmp_path / f"m{ending}" for ending in (".fits", "_coverage.fits", "_weight.fits", "_preview.png")]
    jpeg, tiff, page = tmp_path / "m.jpg", tmp_path / "m.tif", tmp_path / "m_zoom" / "index.html"
    old, new = Outputs(*names, jpeg=jpeg, tiff=tiff, zoom=page), Outputs(*names)
    tile = page.parent / "tiles" / "0" / "0_0.jpg"
    tile.parent.mkdir(parents=True)
    for path in (*old.files, tile):
        path.write_text("as it was")
    stamps = {path: stamp(path) for path in old.files}
    jpeg.write_text("by somebody else")
    beside = unasked(stamps, old, new, ())
    assert set(beside) == {jpeg, tiff, page}
    recorder = Recorder()
    clear_old_pixels(beside, recorder)
    assert sorted(path for path in tmp_path.rglob("*") if path not in names) == [jpeg]
    note, warning = recorder.events
    assert isinstance(note, Note) and note.text.endswith(": 2")
    assert isinstance(warning, Warned) and warning.text.endswith(": m.jpg")
    assert all(sentence(event.text, Messages("fr")) != event.text for event in (note, warning))


def test_a_fresh_start_clears_away_what_the_new_run_does_not_make(night: Night, tmp_path: Path) -> None:
    """Pictures, the packed form and the report of the mosaic before; what somebody has changed stays, and what is not ours."""
    out = tmp_path / "out"
    asked = {"picture_tiff": True, "picture_jpeg": True, "fits_compression": True, "report": True}
    old = assembled(night.lights, out, **asked)
    assert old.tiff and old.jpeg and len(list(out.glob("*_report.*"))) == 2
    old.jpeg.write_text("by somebody else")
    others = [out / f"{old.preview.name.removesuffix('preview.png')}{end}" for end in ("mine.fits", "zoom.jpg")]
    for other in others:
        other.write_text("of somebody else")
    with Ledger(out) as ledger:
        ledger.forget()
    recorder = Recorder()
    new = assembled(night.lights, out, recorder)
    there = {path for path in out.iterdir() if path.name != "zemosaic_workspace"}
    assert there - set(new.files) == {old.jpeg, *others}
    notes = [event.text for event in recorder.events if isinstance(event, Note)]
    assert [text for text in notes if text.endswith("removed: 4")] and [text for text in notes if "form" in text]
    assert (
        sum(isinstance(event, Warned) and event.text.endswith(f": {old.jpeg.name}") for event in recorder.events) == 1
    )


def test_headers_say_what_has_changed_around_a_mosaic_that_stays(night: Night, tmp_path: Path) -> None:
    """One more light was found, which is of no use: the cards tell of it, the pixels stay on the disk."""
    pixels_before = fits.getdata(assembled(night.subs[:-1], tmp_path / "out").mosaic).tobytes()
    noise = np.random.default_rng(1).normal(1000.0, 20.0, fits.getdata(night.subs[-1]).shape)  # and no star
    rewrite(night.subs[-1], noise.astype(np.uint16))
    recorder = Recorder()
    after = assembled(night.subs, tmp_path / "out", recorder)
    assert Unchanged(4) in recorder.outcomes and fits.getdata(after.mosaic).tobytes() == pixels_before
    with fits.open(after.mosaic, checksum=True) as hdus:
        assert hdus[0].header["NRAWINIT"] == 5 and "of 5 found" in str(hdus[0].header["HISTORY"])
    (said,) = [event.text for event in recorder.events if isinstance(event, Note) and "headers" in event.text]
    assert sentence(said, Messages("fr")).startswith("les en-têtes")
    left = after.mosaic.stat().st_mtime_ns
    assembled(night.subs, tmp_path / "out")
    assert after.mosaic.stat().st_mtime_ns == left  # nothing is left to be said
