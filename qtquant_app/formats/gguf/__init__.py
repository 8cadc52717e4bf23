"""GGUF, the file of llama.cpp, Ollama and LM Studio: container, metadata, tokenizers, architectures, mixtures."""
