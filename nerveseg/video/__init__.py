"""Frames in: sources, sinks, the image region and the scale.

``sources.open`` gives a `clip.Clip` for anything that shows ultrasound; `images`, `recording`,
`dicom` and `mha` are the kinds of it. ``sinks`` writes pictures and clips, ``crop`` finds the
image inside the scanner's chrome, ``calibration`` tells millimetres per pixel.
"""
