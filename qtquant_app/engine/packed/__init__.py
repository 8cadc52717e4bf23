"""Weights of quantized checkpoints as float weights: one file a layout, each telling its tensors and decoding their rows."""
