"""The needle: see it on a frame, follow it through a clip, say when its tip isn't known."""

from nerveseg.vision.needle.observe import observe
from nerveseg.vision.needle.settings import Motion, TrackerSettings
from nerveseg.vision.needle.track import NeedleTracker

__all__ = ["Motion", "NeedleTracker", "TrackerSettings", "observe"]
