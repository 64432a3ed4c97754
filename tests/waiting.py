"""How long tests wait for others."""

HANG = 3600
"""Seconds after which a child process is taken for hung. No limit on speed: a busy machine may take a hundred times as
long as an idle one, and what hangs never ends. Where a test bounds work, it counts CPU time (time.process_time)."""
