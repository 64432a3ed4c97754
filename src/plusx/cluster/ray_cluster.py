"""A Ray cluster: one that runs already, or one for this command alone. Whatever is wrong with it is one line, within seconds."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from plusx.errors import RunError, SpecError, missing
from plusx.i18n import Message, _
from plusx.runtime import processor

LEAST = (2, 50)
"""The oldest Ray whose Data module plusx uses as it is; 2.60 is the one that was tested."""
LOCAL = "local"
"""The address of a cluster that this process starts and ends."""
_PATIENCE_S = 5.0
_OBJECTS = 200_000_000
"""Bytes of shared memory of a local cluster. Its objects are numbers, so Ray's usual third of the memory is not needed."""


def check_version() -> None:
    """Raises MissingExtra without Ray, SpecError for one that is too old."""
    try:
        found = version("ray")
    except PackageNotFoundError as error:
        raise missing("ray") from error
    numbers = tuple(int(word) for word in found.split(".")[:2] if word.isdecimal())
    if numbers < LEAST:
        least = ".".join(map(str, LEAST))
        raise SpecError(
            _("Ray {found} is too old: plusx needs {least} or newer. Run pip install -U 'plusx[ray]' on every node.",
              found=found, least=least)
        )  # fmt: skip


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """The ray module, connected. Raises RunError within seconds where there is no cluster, MissingExtra without Ray."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # plusx says in one line what failed
    if address not in (LOCAL, "auto") and os.environ.get("RAY_USE_TLS", "0") == "0":
        check_answers(address)
    try:
        import ray
    except ImportError as error:
        raise missing("ray") from error
    started = {"num_cpus": processor.cores(), "object_store_memory": _OBJECTS, "include_dashboard": False}
    stack = contextlib.ExitStack()
    silent = stack.enter_context(open(os.devnull, "w"))
    stack.enter_context(contextlib.redirect_stdout(silent))  # Ray tells of lost nodes and actors there
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(started if address == LOCAL else {}))
    except (Exception, SystemExit) as error:
        stack.close()
        raise _no_cluster(address, str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__) from error
    with stack:
        try:
            yield ray
        finally:
            ray.shutdown()


def check_address(address: str) -> str:
    """The address of --ray. Raises SpecError for what is none."""
    host, colon, port = address.rpartition(":")
    if address in (LOCAL, "auto") or (
        colon and host and "/" not in host and port.isdecimal() and 0 < int(port) < 65536
    ):
        return address
    raise SpecError(
        _(
            "--ray {address} is no address of a Ray cluster. Write HOST:PORT, or auto for the one of this machine, or put --ray at the "
            "end for a cluster of its own.",
            address=address,
        )
    )  # fmt: skip


def check_answers(address: str) -> None:
    """Raises RunError unless something at the address speaks HTTP/2, as Ray does: Ray itself waits for two minutes.

    RFC 9113, sections 3.4 and 4.1: a server answers a client's preface with a SETTINGS frame, whose type is 4.
    """
    host, _colon, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S) as link:
            link.settimeout(_PATIENCE_S)
            link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            head = link.recv(9)
            if len(head) < 4 or head[3] != 4:
                raise ConnectionError(_("what answers there is not Ray"))
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error) or type(error).__name__) from error


def _no_cluster(address: str, reason: Message | str) -> RunError:
    return RunError(
        _(
            "There is no Ray cluster to use at {address} ({reason}). Start one with ray start --head, or write --ray without "
            "an address for one on this machine.",
            address=address, reason=reason[:200],
        )
    )  # fmt: skip


def actor_pool(ray: Any, threads: int | None) -> tuple[int, int]:
    """Cores of an actor, and the number of actors for which the cluster has cores. Raises RunError."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    cores = [n for n in cores if n]
    if not cores:
        raise RunError(
            _("No node of the Ray cluster has a processor core to compute with. Start one without --num-cpus 0.")
        )
    each = threads or min(cores)
    actors = sum(n // each for n in cores)
    if not actors:
        raise RunError(
            _(
                "--threads {threads} is more than any node of the Ray cluster has ({most}). Write fewer.",
                threads=each,
                most=max(cores),
            )
        )
    return each, actors
