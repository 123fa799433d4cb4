"""A live source from capture to result, each at its own pace.

`session.LiveSession` runs it; `values` are what it tells to whoever listens.
"""
