"""Frames in: sources, sinks, the image region and the scale."""
