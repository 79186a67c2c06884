"""Pictures and maps that are no longer asked for, once the mosaic has other pixels."""

from __future__ import annotations

from pathlib import Path

from nights import Recorder
from zemosaic.events import Note, Warned
from zemosaic.leftovers import clear_old_pixels, unasked
from zemosaic.messages import Messages, sentence
from zemosaic.names import stamp
from zemosaic.phases.export import Outputs


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
    beside = unasked(stamps, old, new)
    assert set(beside) == {jpeg, tiff, page}
    recorder = Recorder()
    clear_old_pixels(beside, recorder)
    assert sorted(path for path in tmp_path.rglob("*") if path not in names) == [jpeg]
    note, warning = recorder.events
    assert isinstance(note, Note) and note.text.endswith(": 2")
    assert isinstance(warning, Warned) and warning.text.endswith(": m.jpg")
    assert all(sentence(event.text, Messages("fr")) != event.text for event in (note, warning))
