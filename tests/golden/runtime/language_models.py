"""Golden log probabilities of compressed language models: the models of ../models/ in double precision, with weights as a
model file holds them. Every weight follows from its name's place j in the sorted list of names (tests/runtime/
golden_model.h makes the same ones):

  dense    element i: 0.3 sin(0.7 i + 1.3 j) in fp32; norms' weights 1 + half of that; fp16 and bf16: rounded to that type
  pq       code n of the row-major list of blocks: (n n + 7 n + 3 j) mod K; element i of the codebook 0.3 sin(1.1 i + 0.7 j)
           as fp16, or with 8 bits ((37 i + 11 j) mod 255 - 127) times 0.3 / 127
  int N    code of element i: (i i + 29 i + 13 j) mod 2^N; scale of channel c: 0.625 / 2^N (1 + (c mod 3) / 8); zero point
           2^(N-1) + c mod 2, at most 2^N - 1

Row 1 of tables listed as padding_rows is zero.

Usage: language_models.py [OUTPUT_FOLDER]   writes language_models.json
"""
import json
import math
import pathlib
import runpy
import sys
import types

import torch

MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"
lm = types.SimpleNamespace(**runpy.run_path(str(MODELS / "decoder.py")))
adaptive = types.SimpleNamespace(**runpy.run_path(str(MODELS / "adaptive.py")))

PAD = 1
BASE = dict(lm.BASE, decoder_normalize_before=True, decoder_learned_pos=False, share_decoder_input_output_embed=True,
            activation_fn="relu")
PQ16 = {"scheme": "pq", "block_size": 4, "num_centroids": 16}
PQ_SMALL = {"scheme": "pq", "block_size": 2, "num_centroids": 5}
PQ256 = {"scheme": "pq", "block_size": 8, "num_centroids": 256}
PQ300 = {"scheme": "pq", "block_size": 4, "num_centroids": 300}
PQ_INT8 = {"scheme": "pq", "block_size": 4, "num_centroids": 16, "int8_centroids": True}


def affine(bits, axis):
    return {"scheme": "affine", "bits": bits, "axis": axis}


# Name of the case: options, and the scheme of every weight matrix in turn.
CASES = {
    "postnorm_learned_projected": (dict(BASE, decoder_normalize_before=False, decoder_learned_pos=True,
                                        share_decoder_input_output_embed=False, decoder_input_dim=8, decoder_output_dim=12,
                                        activation_fn="gelu"), [{"scheme": "f32"}]),
    "shared_no_final_norm": (dict(BASE, decoder_layers=4, share_layers=2, no_decoder_final_norm=True,
                                  activation_fn="gelu_accurate"), [{"scheme": "f16"}, {"scheme": "bf16"}]),
    "no_positions_no_scale": (dict(BASE, no_token_positional_embeddings=True, no_scale_embedding=True, activation_fn="tanh"),
                              [{"scheme": "f32"}]),
    "linear_one_head": (dict(BASE, decoder_attention_heads=1, activation_fn="linear"), [{"scheme": "f32"}]),
    "pq_tied": (BASE, [PQ16, PQ256, PQ_SMALL]),
    "pq_large_codebook": (BASE, [PQ300, PQ16]),
    "pq_int8_centroids": (dict(BASE, activation_fn="gelu_fast"), [PQ_INT8]),
    "int_untied": (dict(BASE, share_decoder_input_output_embed=False),
                   [affine(8, 0), affine(4, 0), affine(3, -1), affine(8, -1), affine(2, 0), affine(5, 0)]),
    "mixed_postnorm": (dict(BASE, decoder_normalize_before=False), [PQ16, affine(8, 0), {"scheme": "f32"}, PQ_INT8]),
}
ADAPTIVE_CASES = {"adaptive_untied": "untied", "adaptive_tied": "tied", "adaptive_tied_proj": "tied_proj"}
ADAPTIVE_SCHEMES = [PQ_SMALL, affine(8, 0), {"scheme": "f32"}, PQ_INT8]


def pattern(count, j):
    return torch.tensor([math.sin(0.7 * i + 1.3 * j) for i in range(count)], dtype=torch.float32) * 0.3


def dense_weight(shape, j, scheme):
    kinds = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    return pattern(math.prod(shape), j).to(kinds[scheme["scheme"]]).reshape(shape)


def pq_weight(shape, j, scheme):
    block, k = scheme["block_size"], scheme["num_centroids"]
    codes = torch.tensor([(n * n + 7 * n + 3 * j) % k for n in range(math.prod(shape) // block)])
    if scheme.get("int8_centroids"):
        integers = torch.tensor([(37 * i + 11 * j) % 255 - 127 for i in range(k * block)], dtype=torch.float32)
        codebook = integers * torch.tensor(0.3 / 127, dtype=torch.float32)
    else:
        values = [math.sin(1.1 * i + 0.7 * j) for i in range(k * block)]
        codebook = (torch.tensor(values, dtype=torch.float32) * 0.3).half()
    return codebook.reshape(k, block)[codes].reshape(shape)


def affine_weight(shape, j, scheme):
    bits, per_channel = scheme["bits"], scheme["axis"] == 0
    codes = torch.tensor([(i * i + 29 * i + 13 * j) % 2 ** bits for i in range(math.prod(shape))]).reshape(shape)
    channels = torch.arange(shape[0] if per_channel else 1)
    scales = 0.625 / 2 ** bits * (1 + (channels % 3) / 8.0)
    zeros = (2 ** (bits - 1) + channels % 2).clamp(max=2 ** bits - 1)
    return (codes - zeros.unsqueeze(1)).double() * scales.double().unsqueeze(1)


def make_weights(shapes, schemes):
    """Weights by name, and what the file says about each."""
    values, records, matrices = {}, {}, 0
    for j, (name, shape) in enumerate(sorted(shapes.items())):
        scheme = {"scheme": "f32"}
        if len(shape) == 2:
            scheme, matrices = schemes[matrices % len(schemes)], matrices + 1
            if scheme["scheme"] == "pq" and shape[1] % scheme["block_size"] != 0:
                scheme = {"scheme": "f32"}
        make = {"pq": pq_weight, "affine": affine_weight}.get(scheme["scheme"], dense_weight)
        value = make(shape, j, scheme).double()
        if "layer_norm.weight" in name:
            value = (1 + 0.5 * pattern(math.prod(shape), j)).double()
        if name in lm.PADDED:
            value[PAD] = 0
        values[name], records[name] = value, dict(scheme, shape=list(shape))
    return values, records


def case(options, shapes, ties, schemes, tokens, targets, evaluate):
    weights, records = make_weights(shapes, schemes)
    tokens, targets = torch.tensor(tokens), torch.tensor(targets)
    log_probs = evaluate(weights, tokens)
    at_target = log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1).masked_fill(targets == PAD, 0.0)
    return {"options": options, "weights": records, "padding_rows": sorted(lm.PADDED & weights.keys()), "ties": ties,
            "tokens": tokens.tolist(), "targets": targets.tolist(), "log_probs": at_target.tolist(),
            "last_log_probs": log_probs[0, -1].tolist()}


def plain_case(options, schemes):
    shared = options["share_decoder_input_output_embed"]
    ties = {"decoder.output_projection.weight": "decoder.embed_tokens.weight"} if shared else {}
    shapes = lm.shapes(options)
    if options.get("no_token_positional_embeddings"):
        shapes.pop("decoder.embed_positions.weight", None)

    def evaluate(w, tokens):
        features = lm.decoder(options, w, tokens, lm.embed(options, w, tokens))
        table = w["decoder.embed_tokens.weight" if shared else "decoder.output_projection.weight"]
        return (features @ table.t()).log_softmax(-1)

    return case(options, shapes, ties, schemes, lm.TOKENS, lm.TARGETS, evaluate)


def adaptive_ties(tie_weights, tie_projections):
    softmax, embeddings = "decoder.adaptive_softmax", "decoder.embed_tokens.embeddings"
    ties = {}
    if tie_weights:
        ties[f"{softmax}.head.word_proj.weight"] = f"{embeddings}.0.0.weight"
    for tail in range(len(adaptive.CUTOFFS)):
        if tie_weights:
            ties[f"{softmax}.tail.{tail}.2.weight"] = f"{embeddings}.{tail + 1}.0.weight"
        if tie_projections:
            ties[f"{softmax}.tail.{tail}.0.weight"] = f"{embeddings}.{tail + 1}.1.weight"
    return ties


def adaptive_case(kind):
    tie_weights, tie_projections = adaptive.TIES[kind]
    cutoffs, factor = adaptive.CUTOFFS, float(adaptive.FACTOR)
    options = dict(BASE, vocab_size=adaptive.VOCABULARY, no_decoder_final_norm=True, share_decoder_input_output_embed=False,
                   adaptive_input=True, adaptive_input_cutoff=cutoffs, adaptive_input_factor=factor,
                   adaptive_softmax_cutoff=cutoffs, adaptive_softmax_factor=factor, tie_adaptive_weights=tie_weights,
                   tie_adaptive_proj=tie_projections)
    parts = adaptive.input_shapes() | adaptive.softmax_shapes(tie_weights, tie_projections)
    shapes = {f"decoder.{n}": shape for n, shape in parts.items()} | lm.layer_shapes(options)

    def evaluate(w, tokens):
        own = {n: w[f"decoder.{n}"] for n in parts}
        embedded = adaptive.adaptive_input(own, tokens) * math.sqrt(adaptive.DIM)
        features = lm.decoder(options, w, tokens, embedded)
        return adaptive.all_log_probs(own, features.flatten(0, 1)).view(*tokens.shape, -1)

    return case(options, shapes, adaptive_ties(tie_weights, tie_projections), ADAPTIVE_SCHEMES, adaptive.TOKENS,
                adaptive.TARGETS, evaluate)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    cases = {name: plain_case(options, schemes) for name, (options, schemes) in CASES.items()}
    cases |= {name: adaptive_case(kind) for name, kind in ADAPTIVE_CASES.items()}
    (folder / "language_models.json").write_text(json.dumps(lm.rounded(cases), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
