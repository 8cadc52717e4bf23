"""Quantizes a float16 GGUF to Q4_0 with llama.cpp, embedding and head left in float16 as QtQuant leaves them.

usage: python llama_quantize.py IN.gguf OUT.gguf THREADS        (needs: pip install llama-cpp-python)
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp


def quantize(source: str, out: str, threads: int) -> int:
    """llama.cpp's status: 0 is success."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = threads
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
    params.output_tensor_type = llama_cpp.GGML_TYPE_F16
    params.token_embedding_type = llama_cpp.GGML_TYPE_F16
    status: int = llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params))
    return status


if __name__ == "__main__":
    sys.exit(quantize(sys.argv[1], sys.argv[2], int(sys.argv[3])))
