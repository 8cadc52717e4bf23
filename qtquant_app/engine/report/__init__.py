"""A scan as one page of HTML that needs nothing else: no network, no other file."""

from qtquant_app.engine.report.write import report

__all__ = ["report"]
