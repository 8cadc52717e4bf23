"""One file per output format; `registry()` knows them all."""

from qtquant_app.formats.base import Format, find, registry

__all__ = ["Format", "find", "registry"]
