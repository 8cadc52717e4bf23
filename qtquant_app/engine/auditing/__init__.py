"""The parts of an audit: which tensors belong together, what is measured of each pair, what the config says, and the sentences."""
