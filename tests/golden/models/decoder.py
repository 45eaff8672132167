"""Golden outputs of a fairseq-style decoder-only language model, written from scratch in plain torch, double
precision. Weights are a pattern anybody can regenerate: element i of the j-th parameter, names sorted, is
scale(name) * sin(0.7 i + 1.3 j), plus 1 for weights of layer norms; padding rows are 0 in the tables listed as such.

Usage: decoder.py [OUTPUT_FOLDER]   writes prenorm_sinusoidal_tied.json and postnorm_learned_untied.json
"""
import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F

PAD = 1
BASE = {"vocab_size": 23, "padding_idx": PAD, "decoder_embed_dim": 16, "decoder_input_dim": 16, "decoder_output_dim": 16,
        "decoder_ffn_embed_dim": 24, "decoder_layers": 2, "decoder_attention_heads": 4, "dropout": 0.0,
        "attention_dropout": 0.0, "activation_dropout": 0.0, "max_target_positions": 12}
CASES = {
    "prenorm_sinusoidal_tied": dict(BASE, decoder_normalize_before=True, decoder_learned_pos=False,
                                    share_decoder_input_output_embed=True, activation_fn="relu"),
    "postnorm_learned_untied": dict(BASE, decoder_normalize_before=False, decoder_learned_pos=True,
                                    share_decoder_input_output_embed=False, activation_fn="gelu",
                                    decoder_input_dim=8, decoder_output_dim=12),
}
TOKENS = [[5, 9, 2, 17, 22, 4, 3], [8, 8, 14, 6, 2, PAD, PAD]]
TARGETS = [[9, 2, 17, 22, 4, 3, 2], [8, 14, 6, 2, 0, PAD, PAD]]
# Tables with a padding row.
PADDED = {"decoder.embed_tokens.weight", "decoder.embed_positions.weight", "decoder.embed_tokens.embeddings.0.0.weight"}


def shapes(o):
    dim = o["decoder_embed_dim"]
    result = {"decoder.embed_tokens.weight": (o["vocab_size"], o["decoder_input_dim"])}
    if o["decoder_input_dim"] != dim:
        result["decoder.project_in_dim.weight"] = (dim, o["decoder_input_dim"])
    if o["decoder_output_dim"] != dim:
        result["decoder.project_out_dim.weight"] = (o["decoder_output_dim"], dim)
    if o["decoder_learned_pos"]:
        result["decoder.embed_positions.weight"] = (o["max_target_positions"] + PAD + 1, dim)
    if not o["share_decoder_input_output_embed"]:
        result["decoder.output_projection.weight"] = (o["vocab_size"], o["decoder_output_dim"])
    return result | layer_shapes(o)


def has_final_norm(o):
    return o["decoder_normalize_before"] and not o.get("no_decoder_final_norm", False)


def layer_shapes(o):
    """All layers and their norms: what lies between the input and the output."""
    dim, ffn = o["decoder_embed_dim"], o["decoder_ffn_embed_dim"]
    result, norms = {}, ["decoder.layer_norm"] if has_final_norm(o) else []
    for i in range(o["decoder_layers"] // o.get("share_layers", 1)):
        layer = f"decoder.layers.{i}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            result[f"{layer}.self_attn.{name}.weight"] = (dim, dim)
            result[f"{layer}.self_attn.{name}.bias"] = (dim,)
        result[f"{layer}.fc1.weight"], result[f"{layer}.fc1.bias"] = (ffn, dim), (ffn,)
        result[f"{layer}.fc2.weight"], result[f"{layer}.fc2.bias"] = (dim, ffn), (dim,)
        norms += [f"{layer}.self_attn_layer_norm", f"{layer}.final_layer_norm"]
    for norm in norms:
        result[f"{norm}.weight"] = result[f"{norm}.bias"] = (dim,)
    return result


def make_weights(shapes_by_name):
    weights = {}
    for j, (name, shape) in enumerate(sorted(shapes_by_name.items())):
        values = [math.sin(0.7 * i + 1.3 * j) for i in range(math.prod(shape))]
        weight = 0.3 * torch.tensor(values, dtype=torch.float32).reshape(shape)
        if "layer_norm.weight" in name:
            weight = 1 + 0.5 * weight
        if name in PADDED:
            weight[PAD] = 0
        weights[name] = weight.double().requires_grad_()
    return weights


def sinusoidal(positions, dim):
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * -(math.log(10000) / (half - 1)))
    angles = positions.double().unsqueeze(-1) * frequencies
    table = torch.cat([angles.sin(), angles.cos()], dim=-1)
    return torch.where(positions.unsqueeze(-1) == PAD, torch.zeros_like(table), table)


def attention(w, layer, x, heads):
    def project(name):
        return F.linear(x, w[f"{layer}.self_attn.{name}.weight"], w[f"{layer}.self_attn.{name}.bias"])

    batch, length, dim = x.shape
    q, k, v = (project(n).view(batch, length, heads, dim // heads).transpose(1, 2) for n in ("q_proj", "k_proj", "v_proj"))
    scores = (q * (dim // heads) ** -0.5) @ k.transpose(-1, -2)
    future = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
    mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
    mixed = mixed.transpose(1, 2).reshape(batch, length, dim)
    return F.linear(mixed, w[f"{layer}.self_attn.out_proj.weight"], w[f"{layer}.self_attn.out_proj.bias"])


def norm(w, name, x):
    return F.layer_norm(x, (x.shape[-1],), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)


def embed(o, w, tokens):
    scale = 1 if o.get("no_scale_embedding", False) else math.sqrt(o["decoder_embed_dim"])
    x = w["decoder.embed_tokens.weight"][tokens] * scale
    return x if o["decoder_input_dim"] == o["decoder_embed_dim"] else F.linear(x, w["decoder.project_in_dim.weight"])


ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_accurate": lambda x: F.gelu(x, approximate="tanh"),
               "gelu_fast": lambda x: F.gelu(x, approximate="tanh"), "tanh": torch.tanh, "linear": lambda x: x}


def position_vectors(o, w, tokens):
    if o.get("no_token_positional_embeddings", False):
        return 0
    counted = (tokens != PAD).long()
    positions = counted.cumsum(1) * counted + PAD
    if o["decoder_learned_pos"]:
        return w["decoder.embed_positions.weight"][positions]
    return sinusoidal(positions, o["decoder_embed_dim"])


def decoder(o, w, tokens, x):
    """Features of tokens whose scaled embeddings are x."""
    dim, pre = o["decoder_embed_dim"], o["decoder_normalize_before"]
    x = x + position_vectors(o, w, tokens)
    activation = ACTIVATIONS[o["activation_fn"]]
    for i in range(o["decoder_layers"]):
        layer = f"decoder.layers.{i // o.get('share_layers', 1)}"
        residual = x
        x = norm(w, f"{layer}.self_attn_layer_norm", x) if pre else x
        x = residual + attention(w, layer, x, o["decoder_attention_heads"])
        x = x if pre else norm(w, f"{layer}.self_attn_layer_norm", x)
        residual = x
        x = norm(w, f"{layer}.final_layer_norm", x) if pre else x
        x = activation(F.linear(x, w[f"{layer}.fc1.weight"], w[f"{layer}.fc1.bias"]))
        x = residual + F.linear(x, w[f"{layer}.fc2.weight"], w[f"{layer}.fc2.bias"])
        x = x if pre else norm(w, f"{layer}.final_layer_norm", x)
    if has_final_norm(o):
        x = norm(w, "decoder.layer_norm", x)
    if o["decoder_output_dim"] != dim:
        x = F.linear(x, w["decoder.project_out_dim.weight"])
    return x


def finish(o, w, tokens, targets, features, logits_first_row, log_probs):
    """The content of a file: results, and gradients of the summed loss."""
    loss = -log_probs.sum()
    loss.backward()
    gradients = {}
    for name, weight in sorted(w.items()):
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        if name in PADDED:
            # The padding row is never trained: as an input it has no gradient, and an output that shares it keeps it zero.
            gradient[PAD] = 0
        flat = gradient.flatten()
        gradients[name] = {"norm": flat.norm().item(), "first": flat[:6].tolist(), "sum": flat.sum().item()}
    return {"options": o, "padding_rows": sorted(PADDED & w.keys()), "tokens": tokens.tolist(),
            "targets": targets.tolist(), "features": features.flatten().tolist(),
            "logits_first_row": logits_first_row.tolist(), "log_probs": log_probs.flatten().tolist(), "loss": loss.item(),
            "gradients": gradients}


def run(o):
    w = make_weights(shapes(o))
    tokens, targets = torch.tensor(TOKENS), torch.tensor(TARGETS)
    features = decoder(o, w, tokens, embed(o, w, tokens))
    table = w["decoder.embed_tokens.weight" if o["share_decoder_input_output_embed"] else "decoder.output_projection.weight"]
    logits = features @ table.t()
    log_probs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).masked_fill(targets == PAD, 0.0)
    return finish(o, w, tokens, targets, features, logits[0, 0], log_probs)


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for name, options in CASES.items():
        (folder / f"{name}.json").write_text(json.dumps(rounded(run(options)), indent=1) + "\n")


if __name__ == "__main__":
    main()
