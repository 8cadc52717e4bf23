"""The number that tells the arithmetic of one version of QtQuant from another's."""

ARITHMETIC = 1
"""Raise it with any change after which the same weights under the same scheme give other codes, scales or zero points: a run that
an older QtQuant left unfinished is then not gone on with."""
