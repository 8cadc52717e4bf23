"""What a model made of the plain format's tensors runs on: torch modules, and how transformers fills them.

Everything here needs torch; the parts that register with transformers need that too. `qtquant_app.engine.load` is the way in.
"""
