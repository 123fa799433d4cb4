"""Frames in: sources, sinks, the image region and the scale.

``sources.open`` gives a `clip.Clip` for anything that shows ultrasound; `images`, `recording`,
`dicom` and `mha` are the kinds of it; `cameras`, `streams` and `igtl` those that are live, each a
`device` read by a thread of its own; `paced` plays a recording as if it were live. `devices` lists
what is there, `igtl_out` sends results out. ``sinks`` writes pictures and clips, ``crop`` finds the
image inside the scanner's chrome, ``calibration`` tells millimetres per pixel.
"""
