"""What the inspector asks of the engine, as work for Jobs. The engine is imported inside the worker."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.core.scan import ScanReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place, View, Window
from qtquant_app.jobs.job import Work, once

if TYPE_CHECKING:
    from qtquant_app.engine.pair import Pair
    from qtquant_app.engine.preview import Preview


class InspectVerbs:
    """Looks at weights and at what schemes do to them."""

    def preview(
        self,
        checkpoint: Checkpoint,
        layer: str,
        scheme: Scheme,
        format: str,
        *,
        view: View = View.ABSOLUTE,
        sample: bool = False,
        known: Preview | None = None,
    ) -> Work:
        """Work that returns the Preview of `layer` under `scheme`, its size as `format` stores it."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.preview import preview

            return (yield from preview(checkpoint, layer, scheme, format=format, view=view, sample=sample, known=known))

        return work

    def look(self, checkpoint: Checkpoint, layer: str, scheme: Scheme, window: Window, known: Preview) -> Work:
        """Work that returns the Picture of a window of `layer`, whose exact preview is `known`."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.look import look

            return (yield from look(checkpoint, layer, scheme, window, known))

        return work

    def remedies(self, checkpoint: Checkpoint, layer: str, scheme: Scheme, place: Place | None, format: str) -> Work:
        """Work that returns what each Remedy for `layer` gains, over all of it or in `place`: a tuple."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.remedies import remedies

            return (yield from remedies(checkpoint, layer, scheme, place, format=format))

        return work

    def compare(
        self, checkpoint: Checkpoint, layers: tuple[str, ...], schemes: tuple[Scheme, ...], format: str
    ) -> Work:
        """Work that returns the Comparison of `schemes` over `layers`."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.compare import compare

            return (yield from compare(checkpoint, layers, schemes, format=format))

        return work

    def scan(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> Work:
        """Work that looks at every tensor, telling of each as TensorScanned, and returns the ScanReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.scan import scan

            return (yield from scan(checkpoint, schemes, format=format))

        return work

    def cached_scan(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> Work:
        """Work that returns the ScanReport where all of it is in the cache, else None; reads no weight."""

        def recall() -> ScanReport | None:
            from qtquant_app.engine.scan import cached_scan

            return cached_scan(checkpoint, schemes, format=format)

        return once(recall)

    def report(
        self, checkpoint: Checkpoint, output: str, schemes: tuple[Scheme, ...], format: str, overwrite: bool
    ) -> Work:
        """Work that writes a scan as one page of HTML and returns its Path."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.report import report

            return (yield from report(checkpoint, Path(output), schemes, format=format, overwrite=overwrite))

        return work

    def pair(
        self,
        checkpoint: Checkpoint,
        layer: str,
        schemes: tuple[Scheme, Scheme],
        window: Window | None,
        known: Pair | None,
        format: str,
    ) -> Work:
        """Work that returns the Pair of pictures of `layer`, whole or of `window`, under two schemes."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.pair import pair

            return (yield from pair(checkpoint, layer, schemes, window, known=known, format=format))

        return work

    def explain(
        self,
        checkpoint: Checkpoint,
        layer: str,
        scheme: Scheme,
        rows: tuple[int, int],
        columns: tuple[int, int],
        format: str,
        extremes: tuple[float, float] | None = None,
    ) -> Work:
        """Work that returns the Explanation of the weight with the largest error in a rectangle, half-open.

        `extremes`, where known, are the smallest and largest weight of the whole tensor: they spare a pass over it.
        """

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.explain import explain

            return (yield from explain(checkpoint, layer, scheme, rows, columns, format=format, extremes=extremes))

        return work
