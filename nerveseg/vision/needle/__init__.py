"""The needle: follow it through a clip, and say when its tip isn't known."""

from nerveseg.vision.needle.settings import Motion, TrackerSettings
from nerveseg.vision.needle.track import NeedleTracker

__all__ = ["Motion", "NeedleTracker", "TrackerSettings"]
