#!/usr/bin/env python3
"""Generation with a compressed model file by qn-run, against its dense fp32 form in eager PyTorch, by turns in one run, one
thread on both sides. PyTorch is written as well as eager code can be: one product for queries, keys and values, a cache that
is allocated once, scaled_dot_product_attention, inference mode, weights laid out once.

  qn export compressed.qn --dequantize -o plain.safetensors
  python3 bench/peers/generate_vs_torch.py compressed.qn plain.safetensors [--qn-run build/release/bin/qn-run] [--json FILE]

First checks that both sides generate the same: the log probability of a greedy continuation. Exits with 1 when they do not.
Needs torch and numpy; models with plain (not adaptive) embeddings."""
import argparse
import json
import math
import platform
import struct
import subprocess
import sys
import time

import numpy
import torch
import torch.nn.functional as F

EOS, PAD, BOS, UNK = 2, 1, 0, 3
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "gelu_accurate": lambda x: F.gelu(x, approximate="tanh"),
               "gelu_fast": lambda x: F.gelu(x, approximate="tanh"), "tanh": torch.tanh, "linear": lambda x: x}


def header_of(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size)), 8 + size


def options_of(path):
    manifest = json.loads(header_of(path)[0]["__metadata__"]["quantnoise"])
    options = manifest["options"]
    if options["adaptive_input"] or options["adaptive_softmax_cutoff"]:
        sys.exit("error: a model with adaptive input or softmax is not supported here")
    return options


def read_tensors(path):
    header, begin = header_of(path)
    header.pop("__metadata__", None)
    data = numpy.memmap(path, dtype=numpy.uint8, mode="r", offset=begin)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            tensors[name] = torch.from_numpy(data[first:last].copy().view(numpy.float32).reshape(entry["shape"]))
    return tensors


class Layer:
    def __init__(self, w, path):
        self.qkv = torch.cat([w[f"{path}.self_attn.{n}_proj.weight"] for n in "qkv"]).contiguous()
        self.qkv_bias = torch.cat([w[f"{path}.self_attn.{n}_proj.bias"] for n in "qkv"])
        names = {"out": "self_attn.out_proj", "fc1": "fc1", "fc2": "fc2", "norm1": "self_attn_layer_norm",
                 "norm2": "final_layer_norm"}
        for short, name in names.items():
            setattr(self, short, (w[f"{path}.{name}.weight"], w[f"{path}.{name}.bias"]))


class Decoder:
    """fairseq's decoder-only transformer with a cache, one sequence."""

    def __init__(self, options, w):
        self.o, self.dim, self.heads = options, options["decoder_embed_dim"], options["decoder_attention_heads"]
        self.pre = options["decoder_normalize_before"]
        self.act = ACTIVATIONS[options["activation_fn"]]
        self.table = w["decoder.embed_tokens.weight"]
        self.out_table = w.get("decoder.output_projection.weight", self.table)
        self.scale = 1.0 if options["no_scale_embedding"] else math.sqrt(self.dim)
        count = options["decoder_layers"] // options["share_layers"]
        unique = [Layer(w, f"decoder.layers.{i}") for i in range(count)]
        self.layers = [unique[i // options["share_layers"]] for i in range(options["decoder_layers"])]
        self.norm = (w["decoder.layer_norm.weight"], w["decoder.layer_norm.bias"]) if "decoder.layer_norm.weight" in w else None
        self.project_in, self.project_out = w.get("decoder.project_in_dim.weight"), w.get("decoder.project_out_dim.weight")
        self.positions = self.position_table(w)
        shape = (options["decoder_layers"], 2, 1, self.heads, options["max_target_positions"], self.dim // self.heads)
        self.cache = torch.empty(shape)

    def position_table(self, w):
        if self.o["no_token_positional_embeddings"]:
            return None
        if self.o["decoder_learned_pos"]:
            return w["decoder.embed_positions.weight"]
        half, rows = self.dim // 2, self.o["max_target_positions"] + 2
        frequencies = torch.exp(torch.arange(half).float() * -(math.log(10000) / (half - 1)))
        angles = torch.arange(rows).float().unsqueeze(1) * frequencies
        return torch.cat([angles.sin(), angles.cos()], 1)

    def layer_norm(self, x, norm):
        return F.layer_norm(x, (self.dim,), norm[0], norm[1])

    def step(self, tokens, past):
        """Logits behind the last of `tokens`, which follow `past` others in the cache."""
        length = len(tokens)
        x = self.table[tokens] * self.scale
        if self.project_in is not None:
            x = F.linear(x, self.project_in)
        if self.positions is not None:
            x = x + self.positions[past + 2:past + 2 + length]
        for number, layer in enumerate(self.layers):
            y = self.layer_norm(x, layer.norm1) if self.pre else x
            q, k, v = F.linear(y, layer.qkv, layer.qkv_bias).view(length, 3, self.heads, -1).permute(1, 2, 0, 3)
            keys, values = self.cache[number]
            keys[0, :, past:past + length], values[0, :, past:past + length] = k, v
            mixed = F.scaled_dot_product_attention(q.unsqueeze(0), keys[:, :, :past + length], values[:, :, :past + length],
                                                   is_causal=length > 1)
            y = F.linear(mixed.squeeze(0).transpose(0, 1).reshape(length, self.dim), *layer.out)
            x = x + y if self.pre else self.layer_norm(x + y, layer.norm1)
            y = self.layer_norm(x, layer.norm2) if self.pre else x
            y = F.linear(self.act(F.linear(y, *layer.fc1)), *layer.fc2)
            x = x + y if self.pre else self.layer_norm(x + y, layer.norm2)
        x = x[-1]
        if self.norm is not None:
            x = self.layer_norm(x, self.norm)
        if self.project_out is not None:
            x = F.linear(x, self.project_out)
        return F.linear(x, self.out_table)

    def greedy_log_prob(self, count):
        """Σ ln p of the greedy continuation of an empty line, </s> being no end."""
        total, logits = 0.0, self.step(torch.tensor([EOS]), 0)
        for position in range(1, count + 1):
            allowed = logits.clone()
            allowed[[BOS, PAD]] = -math.inf
            token = int(allowed.argmax())
            total += float(logits.log_softmax(0)[token])
            if position < count:
                logits = self.step(torch.tensor([token]), position)
        return total

    def seconds(self, prompt_tokens, new_tokens):
        """Of new_tokens steps behind a prompt."""
        prompt = torch.randint(4, len(self.out_table), (prompt_tokens,))
        tokens = torch.randint(4, len(self.out_table), (new_tokens, 1))
        self.step(prompt, 0)
        begin = time.perf_counter()
        for i in range(new_tokens):
            self.step(tokens[i], prompt_tokens + i)
        return time.perf_counter() - begin


def run_json(command):
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def ours_log_prob(arguments, count):
    return run_json([arguments.qn_run, "generate", arguments.compressed, "--prompt", "", "--greedy", "--max-len", str(count),
                     "--stop-at-eos", "false", "--log-format", "json", "--threads", "1"])["log_prob"]


def ours_speed(arguments, new_tokens, fast):
    command = [arguments.qn_run, "bench", arguments.compressed, "--json", "--layers", "false", "--dense", "false", "--threads",
               "1", "--batch", "1", "--prompt-tokens", str(arguments.prompt_tokens), "--new-tokens", str(new_tokens),
               "--seconds", "0.3"]
    return run_json(command + (["--fast"] if fast else []))["whole"][0]["generated_tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compressed")
    parser.add_argument("plain", help="the same model as qn export --dequantize writes it")
    parser.add_argument("--qn-run", default="build/release/bin/qn-run")
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = options_of(arguments.compressed)
    new_tokens = min(arguments.new_tokens, options["max_target_positions"] - arguments.prompt_tokens - 1)
    with torch.inference_mode():
        decoder = Decoder(options, read_tensors(arguments.plain))
        expected, found = decoder.greedy_log_prob(20), ours_log_prob(arguments, 20)
        if abs(found - expected) > 1e-3 * (1 + abs(expected)):
            sys.exit(f"error: the sides differ: log p of a greedy continuation is {found} here, {expected} in torch")
        speeds = {"torch fp32": 0.0, "qn-run": 0.0, "qn-run --fast": 0.0}
        for _ in range(arguments.rounds):
            speeds["torch fp32"] = max(speeds["torch fp32"], new_tokens / decoder.seconds(arguments.prompt_tokens, new_tokens))
            speeds["qn-run"] = max(speeds["qn-run"], ours_speed(arguments, new_tokens, False))
            speeds["qn-run --fast"] = max(speeds["qn-run --fast"], ours_speed(arguments, new_tokens, True))
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread, {new_tokens} tokens behind "
          f"a prompt of {arguments.prompt_tokens}; tokens a second, fastest of {arguments.rounds} rounds")
    for name, speed in speeds.items():
        print(f"{name:<16}{speed:>10.0f}{speed / speeds['torch fp32']:>8.1f}x")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as output:
            json.dump({"torch": torch.__version__, "tokens_per_second": speeds}, output, indent=1)


if __name__ == "__main__":
    main()
