"""`make bench-live`: what live scanning promises, measured as a user would see it.

Every delay is read from the picture itself: the source burns a frame's number and the moment of
its capture into the picture's lowest rows, and the page's canvas is read back by a script.
"""
