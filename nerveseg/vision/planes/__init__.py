"""Fascial planes as lines: from the fascia's probability to ordered polylines with lasting keys.

`find_planes` reads one frame, `PlaneTracker` gives its planes the keys they had before.
"""

from nerveseg.vision.planes.lines import find_planes
from nerveseg.vision.planes.shaft import without_shaft
from nerveseg.vision.planes.tracking import PlaneTracker

__all__ = ["PlaneTracker", "find_planes", "without_shaft"]
