"""Writes a llama model of random weights, half a megabyte: a real server loads and runs it, and its words are noise.

A program of its own, for an environment that has `gguf` and `numpy`: `python tiny_gguf.py FILE`.
"""

import sys
from enum import IntEnum

import gguf  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np

LAYERS = 2
WIDTH = 64
HEADS = 4
INNER = 128
CONTEXT = 2048
TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


class Kind(IntEnum):
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    UNUSED = 5
    BYTE = 6


def vocabulary() -> list[tuple[bytes, Kind]]:
    """A sentencepiece-like one: every byte, so that any text can be read, and a few words."""
    tokens = [(b"<unk>", Kind.UNKNOWN), (b"<s>", Kind.CONTROL), (b"</s>", Kind.CONTROL)]
    tokens += [(b"<0x%02X>" % byte, Kind.BYTE) for byte in range(256)]
    words = ["hello", "world", "hub", "sleeps", "wakes", "answers", "one", "two", "three", "and", "is"]
    tokens += [(f"\u2581{word}".encode(), Kind.NORMAL) for word in words]
    tokens += [(letter.encode(), Kind.NORMAL) for letter in "\u2581abcdefghijklmnopqrstuvwxyz.,"]
    tokens += [(b"<unused%d>" % spare, Kind.UNUSED) for spare in range(-len(tokens) % 32)]
    return tokens


def write(path: str) -> None:
    rng = np.random.default_rng(7)
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types([int(kind) for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def matrix(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.05, (rows, columns)).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", len(tokens), WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm")
        ones(f"{block}.ffn_norm")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{part}", WIDTH, WIDTH)
        matrix(f"{block}.ffn_gate", INNER, WIDTH)
        matrix(f"{block}.ffn_up", INNER, WIDTH)
        matrix(f"{block}.ffn_down", WIDTH, INNER)
    ones("output_norm")
    matrix("output", len(tokens), WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
