"""Seconds and CPU seconds of a process and its children since it began to import, without what runs while the clock is paused.

Imported first by the transfer scripts, so that a library's import counts: a user waits for it too.
"""
import contextlib, os, pathlib, time

BEGUN = time.perf_counter()


def cpu_seconds():
    """User and system time of this process, its ended children and those that still run (workers of a data loader)."""
    total = sum(os.times()[:4])
    for children in pathlib.Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError):  # it ended meanwhile, and its parent's time has it
                fields = pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


class Clock:
    def __init__(self):
        self.points, self.lost, self.lost_cpu = [], 0.0, 0.0

    def now(self):
        return {"seconds": round(time.perf_counter() - BEGUN - self.lost, 3), "cpu": round(cpu_seconds() - self.lost_cpu, 3)}

    def note(self, what, **values):
        """A point of the timeline, like the validation accuracy after an epoch."""
        self.points.append({"what": what, **self.now(), **values})

    @contextlib.contextmanager
    def paused(self):
        """The test images are counted meanwhile."""
        wall, cpu = time.perf_counter(), cpu_seconds()
        yield
        self.lost += time.perf_counter() - wall
        self.lost_cpu += cpu_seconds() - cpu
