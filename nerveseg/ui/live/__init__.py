"""The Live tab: sessions that run, the pages that look at them, and who may steer."""
