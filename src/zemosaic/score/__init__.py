"""How good a mosaic of a simulated night is, against its truth.

scene.py       the mosaic and, on its pixels, what the truth says it should show
starlight.py   scale, astrometry, photometry, sharpness: from the stars
smooth.py      background, steps between panels, noise: from what lies between them
artefacts.py   outliers, satellite trails, hot pixels
report.py      the table of figures and goals
"""

from __future__ import annotations

from zemosaic.score.report import Metric, Score, judge, score

__all__ = ["Metric", "Score", "judge", "score"]
