"""Runs a model of transformers block by block, with one block's weights in memory at a time."""
