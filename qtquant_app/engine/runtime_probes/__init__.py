"""What is run in a fresh Python, maybe another one's, to load a result in a runtime: see `engine.runtime_child`.

The folder is started as a program. Its files import nothing of QtQuant, so that they run where only the runtime is installed; each
`with_*.py` has `load(request)`, which gives the model and what had to be said for it to load, and `run(model, request)`.
"""
