"""Tokenizers as llama.cpp wants them: vocabularies of byte-level BPE and of SentencePiece, special tokens, chat templates."""
