"""A look at every tensor of a checkpoint: what its weights are like, and what each of several schemes would do to it.

The errors are sums of the same rows that a preview and a run add up, so that all three agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event, RunStarted, TensorScanned
from qtquant_app.core.scan import DEFAULT_SCHEMES, ScanReport, TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.device import resolve
from qtquant_app.engine.file_marks import FileMarks
from qtquant_app.engine.garbage import uncollected
from qtquant_app.engine.scan_cache import ScanCache, content_key, file_of
from qtquant_app.engine.scan_passes import steps
from qtquant_app.engine.scan_subject import Sizes, Subject
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats import find

_FORMAT = "compressed-tensors"


def scan(
    checkpoint: Checkpoint,
    schemes: Sequence[Scheme] = DEFAULT_SCHEMES,
    *,
    format: str = "",
    device: str = "auto",
    cache: bool | Path = True,
) -> Generator[Event, None, ScanReport]:
    """Looks at every tensor, and quantizes in memory each that a run can quantize, under each scheme.

    `format` says what the bytes are; another answers where it cannot hold a tensor. `cache` is True for the user's cache
    file, a path for another, False for none. Closing the generator ends the work within a chunk and keeps what is complete.
    Raises UsageError for an unknown format or device, SourceError where a file cannot be read.
    """
    schemes = tuple(dict.fromkeys(schemes))
    resolved, holder = resolve(device), find(format or _FORMAT)
    with ScanCache(file_of(cache)) as store:
        marks = FileMarks(checkpoint.root, checkpoint.remote)
        with uncollected():
            subjects = _subjects(checkpoint, schemes, format)
            _recall(subjects, store, marks, _backend(resolved, checkpoint))
            found = {subject.tensor.name: subject.scan() for subject in subjects if subject.complete}
        fresh = [subject for subject in subjects if subject.tensor.name not in found]
        known = len(found)
        yield RunStarted(len(subjects), sum(_bytes_to_read(subject) for subject in fresh))
        for done in tuple(found.values()):
            yield TensorScanned(done, cached=True)
        if fresh:
            with open_tools(checkpoint, holder, resolved) as tools:
                known += yield from _work(tools, fresh, store, marks, found)
    tensors = tuple(found[tensor.name] for tensor in checkpoint.tensors)
    return ScanReport(checkpoint.label, format, schemes, tensors, known)


def cached_scan(
    checkpoint: Checkpoint,
    schemes: Sequence[Scheme] = DEFAULT_SCHEMES,
    *,
    format: str = "",
    device: str = "auto",
    cache: bool | Path = True,
) -> ScanReport | None:
    """The scan, if all of it is in the cache and no file has changed since; reads no weight. Arguments as `scan`."""
    schemes = tuple(dict.fromkeys(schemes))
    file = file_of(cache)
    if file is None or not file.is_file():
        return None
    with ScanCache(file) as store, uncollected():
        tensors = _recalled(checkpoint, schemes, format, store, resolve(device))
    return ScanReport(checkpoint.label, format, schemes, tensors, len(tensors)) if tensors is not None else None


def _recalled(
    checkpoint: Checkpoint, schemes: Sequence[Scheme], format: str, store: ScanCache, device: str
) -> tuple[TensorScan, ...] | None:
    """All tensors out of the cache; None where one is not in it."""
    subjects = _subjects(checkpoint, schemes, format)
    _recall(subjects, store, FileMarks(checkpoint.root, checkpoint.remote), _backend(device, checkpoint))
    if not all(subject.complete for subject in subjects):
        return None
    found = []
    subjects.reverse()
    while subjects:
        found.append(subjects.pop().scan())  # let go one by one: all at once would hold every thread for 0.1 s
    return tuple(found)


def _subjects(checkpoint: Checkpoint, schemes: Sequence[Scheme], format: str) -> list[Subject]:
    sizes = Sizes(schemes, format)
    return [Subject.of(tensor, sizes) for tensor in checkpoint.tensors]


def _recall(subjects: Sequence[Subject], store: ScanCache, marks: FileMarks, backend: str) -> None:
    """Fills in what earlier scans found, without reading a weight."""
    open_ones = [subject for subject in subjects if subject.known is None]
    for subject in open_ones:
        subject.identity = marks.key(subject.tensor, backend)
    hashes = store.hashes(subject.identity for subject in open_ones if subject.identity is not None)
    for subject in open_ones:
        content = hashes.get(subject.identity or b"")
        if content is not None:
            subject.content = _content_key(subject, content, backend)
    known = store.known(subject.content for subject in open_ones if subject.content)
    for subject in open_ones:
        subject.known = known.get(subject.content)


def _backend(device: str, checkpoint: Checkpoint) -> str:
    """What, beside the weights, decides their codes: who does the arithmetic, and which columns matter."""
    return f"{device.partition(':')[0]}{checkpoint.statistics.sha256}"


def _content_key(subject: Subject, content: bytes, backend: str) -> bytes:
    return content_key(content, subject.tensor.dtype, subject.tensor.shape, backend)


def _bytes_to_read(subject: Subject) -> int:
    """Two passes; the second alone where the statistics are known already."""
    return subject.tensor.nbytes * (2 if subject.known is None else 1)


def _work(
    tools: Tools, subjects: Sequence[Subject], store: ScanCache, marks: FileMarks, found: dict[str, TensorScan]
) -> Generator[Event, None, int]:
    """Works through `subjects` and adds to `found`; returns how many the cache knew by their content after all."""
    backend, contents = _backend(tools.device, tools.reader.checkpoint), dict[str, bytes]()
    learnt, recalled = set[bytes](), set[str]()

    def look(subject: Subject, content: bytes) -> None:
        contents[subject.tensor.name] = content
        subject.content = _content_key(subject, content, backend)
        subject.known = store.known([subject.content]).get(subject.content)
        if subject.complete and subject.content not in learnt:
            recalled.add(subject.tensor.name)

    for step in steps(tools, subjects, look):
        tensor = step.subject.tensor
        if not step.last:
            yield ChunkDone(tensor.name, step.bytes)
            continue
        if marks.unchanged(tensor):
            _keep(step.subject, contents.get(tensor.name), store, marks.settled(tensor))
        if tensor.name not in recalled:
            learnt.add(step.subject.content)
        found[tensor.name] = step.subject.scan()
        yield TensorScanned(found[tensor.name], cached=tensor.name in recalled)
    return len(recalled)


def _keep(subject: Subject, content: bytes | None, store: ScanCache, settled: bool) -> None:
    """Writes down what is known of a tensor now, and that its file has this content."""
    if subject.known is not None:
        store.learn(subject.content, subject.known)
    if content is not None and subject.identity is not None and settled:
        store.remember(subject.identity, content)
