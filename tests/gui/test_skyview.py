"""The sky view, as a person uses it, and how little of 20,000 footprints Tk gets to know."""

from __future__ import annotations

import tkinter as tk
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from zemosaic.catalogue import load_catalogue
from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.gui.skylayers import DRAWN
from zemosaic.gui.skyview import MARKED, STEP, SkyView
from zemosaic.imaging.projection import tan_deproject
from zemosaic.messages import Messages

WIDTH, HEIGHT = 0.7, 1.2  # deg, of a frame
CENTRE = (10.68, 41.27)
CLOCK = [0]  # ms, of the made-up events


def sky_frames(count: int, targets: int = 1) -> tuple[SkyFrame, ...]:
    """Panels 2 x 2 with a little dither; further targets 30 degrees to the east each."""
    rng = np.random.default_rng(1)
    frames = []
    for number in range(count):
        panel, target = number % 4, number % (4 * targets) // 4
        u = (panel % 2 - 0.5) * 0.5 + rng.normal(0, 0.01) + np.array([-0.5, 0.5, 0.5, -0.5]) * WIDTH
        v = (panel // 2 - 0.5) * 0.9 + rng.normal(0, 0.01) + np.array([-0.5, -0.5, 0.5, 0.5]) * HEIGHT
        ra, dec = (each.tolist() for each in tan_deproject(u, v, CENTRE[0] + 30 * target, CENTRE[1]))
        frames.append(
            SkyFrame(f"/n/{number}.fit", 4 * target + panel, f"T{target}", tuple(ra), tuple(dec), number % 9 != 0)
        )
    return tuple(frames)


@pytest.fixture
def sky(root: tk.Tk) -> SkyView:
    widget = SkyView(root, Messages("en"), FrameChoice(), load_catalogue())
    widget.pack(fill="both", expand=True)
    root.update()
    show(widget, sky_frames(60))
    return widget


def show(sky: SkyView, frames: tuple[SkyFrame, ...]) -> None:
    sky.set_frames(frames)
    drawn(sky)


def drawn(sky: SkyView) -> None:
    sky.finish()
    sky.update()


def items(sky: SkyView, layer: str) -> int:
    return len(sky.canvas.find_withtag(layer))


def at(sky: SkyView, ra: float, dec: float) -> tuple[int, int]:
    x, y = sky.view.of_sky(ra, dec)
    return round(float(x)), round(float(y))


def press(sky: SkyView, *places: tuple[int, int], keys: str = "", double: bool = False) -> None:
    """Press the left button, move over places, release; `double` soon after the last time."""
    CLOCK[0] += 10 if double else 2000
    events = [f"<{keys}ButtonPress-1>", *[f"<{keys}B1-Motion>"] * (len(places) - 1), f"<{keys}ButtonRelease-1>"]
    for event, (x, y) in zip(events, [*places, places[-1]], strict=True):
        sky.canvas.event_generate(event, x=x, y=y, time=CLOCK[0])
    drawn(sky)


def test_all_frames_panels_stars_and_grid_are_drawn(sky: SkyView) -> None:
    assert items(sky, "frame") == 60 and items(sky, "picture") == 1
    assert items(sky, "grid") >= 6 and items(sky, "text") >= 4 and items(sky, "panel") == 4
    colours = {str(sky.canvas.itemcget(item, "outline")) for item in sky.canvas.find_withtag("frame")}
    assert len(colours) == 4
    dashed = [item for item in sky.canvas.find_withtag("frame") if sky.canvas.itemcget(item, "dash")]
    assert len(dashed) == sum(not each.solved for each in sky_frames(60))
    assert len(sky._stars(sky.view)) > 20


def test_of_20_000_frames_tk_knows_a_few_hundred_items(
    root: tk.Tk, sky: SkyView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slice of drawing makes a bounded number of items, whatever the number of frames."""
    frames = sky_frames(20_000)
    made: list[int] = []
    for name in ("create_polygon", "create_line", "create_text", "create_image"):
        make = getattr(sky.canvas, name)
        monkeypatch.setattr(sky.canvas, name, lambda *a, make=make, **k: made.append(1) or make(*a, **k))
    sky.set_frames(frames)
    slices = []
    sky._drawing.cancel()
    for _ in sky._draw():
        slices.append(len(made))
        made.clear()
    assert len(slices) > 40 and max(slices) <= 120
    assert len(sky.canvas.find_all()) < 120
    assert items(sky, "frame") == 0 and items(sky, "panel") == 8
    sky.choice.select(each.file for each in frames)
    sky.choice.exclude(each.file for each in frames[:10_000])
    drawn(sky)
    assert items(sky, "chosen") == items(sky, "out") == MARKED and len(sky.canvas.find_all()) < 120 + 2 * MARKED
    sky.look_at(*CENTRE, 0.01)
    drawn(sky)
    assert len(sky.canvas.find_all()) < 120 + 2 * MARKED + DRAWN


def test_the_wheel_zooms_about_the_pointer_and_the_sky_there_stays(sky: SkyView) -> None:
    before = sky.view.to_sky(300, 200)
    scale = sky.view.scale
    for _ in range(3):
        sky.canvas.event_generate("<Button-4>", x=300, y=200)
    drawn(sky)
    assert sky.view.scale == pytest.approx(scale / 1.25**3)
    assert sky.view.of_sky(*before) == pytest.approx((300, 200), abs=0.01)
    sky.canvas.event_generate("<Button-5>", x=300, y=200)
    drawn(sky)
    assert sky.view.scale == pytest.approx(scale / 1.25**2)


def test_dragging_moves_the_sky_with_the_pointer(sky: SkyView) -> None:
    ra, dec = sky.view.to_sky(400, 300)
    press(sky, (400, 300), (450, 280), (520, 260))
    assert sky.view.of_sky(ra, dec) == pytest.approx((520, 260), abs=0.5)
    assert not sky.choice.selected


def test_keys_move_zoom_and_come_back(sky: SkyView) -> None:
    start = sky.view
    sky.canvas.focus_force()
    sky.canvas.event_generate("<Left>")
    assert sky.view.of_sky(start.ra, start.dec)[0] == pytest.approx(0.5 * start.width + STEP, abs=0.5)
    sky.canvas.event_generate("<plus>")
    sky.canvas.event_generate("<minus>")
    sky.canvas.event_generate("<0>")
    drawn(sky)
    assert sky.view == start


def test_a_click_selects_the_nearest_frame_and_the_next_one_the_next(sky: SkyView) -> None:
    place = at(sky, CENTRE[0] + 0.33, CENTRE[1] - 0.45)
    press(sky, place)
    first = sky.choice.selected
    assert len(first) == 1 and items(sky, "chosen") == 1
    press(sky, place)
    second = sky.choice.selected
    assert len(second) == 1 and second != first
    other = at(sky, CENTRE[0] - 0.33, CENTRE[1] + 0.45)
    press(sky, other, keys="Control-")
    assert len(sky.choice.selected) == 2 and second < sky.choice.selected
    press(sky, (5, 5))
    assert not sky.choice.selected


def test_a_double_click_or_the_switch_selects_panels(sky: SkyView) -> None:
    place = at(sky, CENTRE[0] + 0.33, CENTRE[1] - 0.45)
    press(sky, place)
    press(sky, place, double=True)
    assert len(sky.choice.selected) == 15
    sky.bar.unit.set("panels")
    press(sky, at(sky, CENTRE[0] - 0.33, CENTRE[1] + 0.45), keys="Control-")
    assert len(sky.choice.selected) == 30


@pytest.mark.parametrize("by_key", [True, False])
def test_the_lasso_selects_what_it_holds(sky: SkyView, by_key: bool) -> None:
    corners = [(0.6, -1.1), (0.02, -1.1), (0.02, 1.1), (0.6, 1.1), (0.6, -1.05)]
    places = [at(sky, *(float(each) for each in tan_deproject(u, v, *CENTRE))) for u, v in corners]
    if not by_key:
        sky.bar.mode.set("lasso")
    view = sky.view
    press(sky, *places, keys="Shift-" if by_key else "")
    east = {each.file for each in sky_frames(60) if each.panel % 2 == 1}
    assert sky.choice.selected == east and sky.view == view and items(sky, "lasso") == 0


def test_what_is_left_out_is_marked_and_no_longer_covers(sky: SkyView) -> None:
    sky.choice.select([each.file for each in sky_frames(60) if each.panel == 0])
    before = sky._layers._image
    sky.bar.exclude.invoke()
    drawn(sky)
    assert len(sky.choice.excluded) == 15 and items(sky, "out") == 15
    after = sky._layers._image
    assert before is not None and after is not None and np.asarray(before).sum() > np.asarray(after).sum()
    sky.canvas.focus_force()
    sky.canvas.event_generate("<space>")
    assert not sky.choice.excluded


def test_targets_are_found_by_name(sky: SkyView) -> None:
    assert not sky.bar.targets.winfo_ismapped()
    show(sky, sky_frames(80, targets=2))
    sky.fit()
    drawn(sky)
    assert sky.bar.targets.winfo_ismapped() and list(sky.bar.targets.cget("values")) == ["All targets", "T0", "T1"]
    assert sky.view.field > 20
    sky.bar.targets.current(2)
    sky.bar.targets.event_generate("<<ComboboxSelected>>")
    drawn(sky)
    assert sky.view.field < 10 and abs(sky.view.ra - CENTRE[0] - 30) < 0.5


def test_panels_of_two_targets_are_two_panels(sky: SkyView) -> None:
    both = tuple(replace(place, panel=place.panel % 4) for place in sky_frames(80, targets=2))
    show(sky, both)
    sky.fit("T1")
    drawn(sky)
    sky.bar.unit.set("panels")
    press(sky, at(sky, CENTRE[0] + 30.33, CENTRE[1] - 0.45))
    chosen = [each for each in both if each.file in sky.choice.selected]
    assert len(chosen) == 10 and {(each.target, each.panel) for each in chosen} == {("T1", chosen[0].panel)}


def test_the_line_below_tells_where_the_pointer_is(sky: SkyView) -> None:
    place = at(sky, *CENTRE)
    sky.canvas.event_generate("<Motion>", x=place[0], y=place[1])
    text = str(sky._status.cget("text"))
    assert text.startswith("0h42m") and "+41°" in text and "frames here: 60" in text
    sky.canvas.event_generate("<Leave>")
    assert "60 frames, 0 selected" in str(sky._status.cget("text"))


def test_nothing_to_show_and_nothing_known(sky: SkyView) -> None:
    show(sky, ())
    assert items(sky, "frame") == items(sky, "panel") == 0
    press(sky, (100, 100))
    press(sky, (100, 100), (200, 100), (200, 200), keys="Shift-")
    assert not sky.choice.selected


def test_a_view_that_was_moved_stays_when_frames_come(sky: SkyView) -> None:
    sky.look_at(50.0, 20.0, 3.0)
    drawn(sky)
    view = sky.view
    show(sky, sky_frames(61))
    assert sky.view == view and sky.view.field == pytest.approx(3.0)


def test_french(root: tk.Tk) -> None:
    language = SimpleNamespace(messages=Messages("en"))
    sky = SkyView(root, lambda key, /, **values: language.messages(key, **values), FrameChoice(), load_catalogue())
    sky.pack()
    language.messages = Messages("fr")
    sky.retranslate()
    assert "de large" in str(sky._status.cget("text"))
    assert {str(widget.cget("text")) for widget in sky.bar.texts} >= {"Tout voir", "Déplacer", "panneaux", "Écarter"}
