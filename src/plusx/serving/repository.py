"""The models that are served now, and the thread that exchanges one when its bundle changes.

A changed bundle is loaded and warmed up beside the old one. The exchange is one assignment: a request computes wholly on
the one or the other. A bundle that cannot be loaded is refused, and the old one stays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from plusx.bundles import bundle_stamp
from plusx.errors import BundleError, PlusxError
from plusx.i18n import _
from plusx.serving.refusals import Refusal
from plusx.serving.served import ServedModel, ServingOptions
from plusx.serving.sources import Source

POLL_S = 1.0
MOST_POLLS_APART = 30
"""A bundle that could not be loaded is tried again after 1, 2, 4, … polls: its files may still be on their way."""


STOP_S = 10.0
"""How long the end waits for what computes. A thread inside an engine must not outlive the interpreter, which would crash."""


class Repository:
    """Name → version → model. `load` fills it; afterwards `watch` keeps it up to date until `stop`."""

    def __init__(self, sources: Iterable[Source], options: ServingOptions, poll_s: float = POLL_S) -> None:
        self.sources, self.options, self.poll_s = list(sources), options, poll_s
        self.loads: dict[tuple[str, str], int] = {}
        """(model, "loaded" or "refused") → how often that happened."""
        self._models: dict[str, dict[int, ServedModel]] = {}
        self._stamps: dict[tuple[str, int], str | None] = {}
        self._failed: dict[tuple[str, int], _Failure] = {}
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def load(self) -> None:
        """Load every model. Raises what makes one unusable."""
        for source, version, path in self._found():
            self._load(source.name, version, path, bundle_stamp(path))
        if not self._models:
            raise BundleError(_("There is no bundle to serve. Give a folder with bundle.json, or a run."))

    def find(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """A model, by default its highest version, or the only one there is. Raises Refusal (400 or 404)."""
        names = ", ".join(sorted(self._models))
        if name is None:
            if len(self._models) > 1:
                raise Refusal(400, _("Several models are served. Name one with ?model=NAME: {names}.", names=names))
            (name,) = self._models
        versions = self._models.get(name)
        if versions is None:
            raise Refusal(404, _("There is no model {name!r}. Served: {names}.", name=name, names=names))
        if version is None:
            return versions[max(versions)]
        found = next((model for number, model in versions.items() if str(number) == version), None)
        if found is None:
            known = ", ".join(map(str, sorted(versions)))
            raise Refusal(
                404, _("{name} has no version {version!r}. Served: {known}.", name=name, version=version, known=known)
            )
        return found

    def versions(self, name: str) -> list[int]:
        return sorted(self._models.get(name, ()))

    def __iter__(self) -> Iterator[ServedModel]:
        for versions in list(self._models.values()):
            yield from list(versions.values())

    def watch(self) -> None:
        """Start looking at the bundles, each `poll_s` seconds."""
        self._watcher = threading.Thread(target=self._watch, name="plusx-watch", daemon=True)
        self._watcher.start()

    def stop(self, seconds: float = STOP_S) -> bool:
        """Watch no longer, and let the workers end once nothing waits. Whether they did within so many seconds."""
        self._stop.set()
        for model in self:
            model.close()
        ended = [model.batcher.join(seconds) for model in self]
        if self._watcher is not None:
            self._watcher.join(seconds)
            ended.append(not self._watcher.is_alive())
        return all(ended)

    def _found(self) -> Iterator[tuple[Source, int, Path]]:
        for source in self.sources:
            for version, path in source.versions():
                yield source, version, path

    def _load(self, name: str, version: int, path: Path, stamp: str | None) -> None:
        """Load a model and put it in the place of the one that was there."""
        model = ServedModel(name, version, path, self.options)
        before = self._models.get(name, {}).get(version)
        self._models[name] = {**self._models.get(name, {}), version: model}
        self._stamps[name, version] = stamp
        self._count(name, "loaded")
        if before is not None:
            before.close()

    def _watch(self) -> None:
        while not self._stop.wait(self.poll_s):
            for source, version, path in self._found():
                try:
                    self._look(source.name, version, path)
                except Exception as error:  # a fault of one bundle must not end the watch over all
                    self.options.report(
                        _("{path} could not be loaded ({kind}: {error}). What was served before goes on.",
                          path=path, kind=type(error).__name__, error=error)
                    )  # fmt: skip

    def _look(self, name: str, version: int, path: Path) -> None:
        stamp = bundle_stamp(path)
        key = name, version
        if stamp is None or stamp == self._stamps.get(key):
            self._failed.pop(key, None)
            return
        failure = self._failed.get(key)
        if failure is not None and failure.stamp == stamp and failure.wait():
            return
        try:
            self._load(name, version, path, stamp)
        except PlusxError as error:
            text = str(error)
            if failure is None or failure.text != text:
                self._count(name, "refused")
                self.options.report(
                    _("{name} version {version} changed, but {reason} What was served before goes on.",
                      name=name, version=version, reason=error.message)
                )  # fmt: skip
            self._failed[key] = _Failure(stamp, text, failure)
        else:
            self._failed.pop(key, None)
            self.options.report(
                _("{name} version {version} was loaded from {path}", name=name, version=version, path=path)
            )

    def _count(self, name: str, result: str) -> None:
        self.loads[name, result] = self.loads.get((name, result), 0) + 1


class _Failure:
    """A bundle that could not be loaded, and the polls until it is tried again."""

    def __init__(self, stamp: str, text: str, before: _Failure | None) -> None:
        again = before is not None and before.stamp == stamp
        self.stamp, self.text = stamp, text
        self.apart = min(MOST_POLLS_APART, 2 * before.apart) if before is not None and again else 1
        self.left = self.apart

    def wait(self) -> bool:
        """Whether this poll only waits."""
        self.left -= 1
        return self.left >= 0
