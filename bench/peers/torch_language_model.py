#!/usr/bin/env python3
"""The step of bench/training_step.cc as fast as eager PyTorch can be written: one product for queries, keys and values,
scaled_dot_product_attention, autocast that casts each weight once a step, fused AdamW. What is fastest depends on machine
and type, so there are variants "ATTENTION/LOSS":

  sdpa        scaled_dot_product_attention. With dropout it has no fused kernel on a CPU
  explicit    hence also product, softmax, dropout, product
  full        cross_entropy of all logits at once, in the type they come in
  full-fp32   the same after a cast to fp32
  recomputed  by chunks of rows; the backward pass computes their logits again
  eager-grad  by chunks of rows; gradients are computed in the forward pass, while the chunk is in the cache

  python torch_language_model.py --file WEIGHTS --type fp32|bf16 --dropout P --heads N --cutoffs A,B --threads N

Answers lines on standard input as `training_step --serve` does: "step VARIANT" by seconds and summed loss, "reset" (back to
the weights of the file) by "ok". The first line it writes is JSON: versions and the variants.
"""
import argparse
import json
import math
import platform
import struct
import sys
import time

import numpy
import torch
import torch.nn.functional as F

PAD, CHUNK_ROWS = 1, 512
NUMPY_TYPES = {"F32": numpy.float32, "I64": numpy.int64}


def read_safetensors(path):
    """Tensors by name. Layout: length of the header in 8 bytes, a JSON header with type, shape and offsets, the data."""
    with open(path, "rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_size))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[begin:end], dtype=NUMPY_TYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors


class RecomputedLoss(torch.autograd.Function):
    """Sum of cross-entropies of x W^T. Nothing of the size of the logits is kept for the backward pass."""

    @staticmethod
    def forward(ctx, x, weight, targets):
        ctx.save_for_backward(x, weight, targets)
        total = torch.zeros((), dtype=torch.float32)
        for begin in range(0, len(x), CHUNK_ROWS):
            rows = slice(begin, begin + CHUNK_ROWS)
            total += F.cross_entropy(torch.mm(x[rows], weight.t()).float(), targets[rows], reduction="sum")
        return total

    @staticmethod
    def backward(ctx, grad):
        x, weight, targets = ctx.saved_tensors
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        for begin in range(0, len(x), CHUNK_ROWS):
            rows = slice(begin, begin + CHUNK_ROWS)
            errors = torch.softmax(torch.mm(x[rows], weight.t()), 1)
            errors[torch.arange(len(errors)), targets[rows]] -= 1
            torch.mm(errors, weight, out=grad_x[rows])
            grad_weight.addmm_(errors.t(), (x[rows] * grad).to(x.dtype))
        return grad_x.mul_(grad), grad_weight, None


class EagerGradLoss(torch.autograd.Function):
    """The same sum, times scale; gradients are ready when the value is."""

    @staticmethod
    def forward(ctx, x, weight, targets, scale):
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        total = torch.zeros((), dtype=torch.float32)
        for begin in range(0, len(x), CHUNK_ROWS):
            rows = slice(begin, begin + CHUNK_ROWS)
            errors = torch.softmax(torch.mm(x[rows], weight.t()), 1)
            places = (torch.arange(len(errors)), targets[rows])
            total -= errors[places].float().log().sum()
            errors[places] -= 1
            torch.mm(errors, weight, out=grad_x[rows])
            grad_weight.addmm_(errors.t(), x[rows] * scale)
        ctx.save_for_backward(grad_x.mul_(scale), grad_weight)
        return total * scale

    @staticmethod
    def backward(ctx, grad):
        grad_x, grad_weight = ctx.saved_tensors
        if grad.item() != 1:  # It is 1 at the end of a graph, and a pass over the weight costs time.
            grad_x, grad_weight = grad_x * grad, grad_weight * grad
        return grad_x, grad_weight, None, None


def summed_loss(kind, x, weight, targets, scale):
    """scale times the summed cross-entropy of x W^T."""
    if kind.startswith("full"):
        logits = F.linear(x, weight)
        if kind == "full-fp32":
            return F.cross_entropy(logits.float(), targets, reduction="sum") * scale
        with torch.autocast("cpu", enabled=False):  # It would cast them to fp32. The sum must not be rounded to bf16.
            return F.cross_entropy(logits, targets, reduction="none").float().sum() * scale
    # By hand what autocast does for products it sees.
    if torch.is_autocast_enabled("cpu"):
        x, weight = x.to(torch.bfloat16), weight.to(torch.bfloat16)
    if kind == "recomputed":
        return RecomputedLoss.apply(x, weight, targets) * scale
    return EagerGradLoss.apply(x, weight, targets, scale)


def sinusoids(length, dim):
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * -(math.log(10000) / (half - 1)))
    angles = (torch.arange(length, dtype=torch.float64) + PAD + 1).unsqueeze(1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


class Model:
    """Weights under the names of the file without "decoder."; q, k and v of a layer are one."""

    def __init__(self, tensors, heads, dropout, cutoffs):
        self.tokens, self.targets = tensors["batch.tokens"], tensors["batch.target"].flatten()
        assert int(self.tokens.min()) > PAD and int(self.targets.min()) > PAD, "a batch without padding is expected"
        named = {n.removeprefix("decoder."): t for n, t in tensors.items() if n.startswith("decoder.")}
        self.num_layers = sum(n.endswith(".fc1.weight") for n in named)
        for layer in range(self.num_layers):
            for kind in ("weight", "bias"):
                parts = [named.pop(f"layers.{layer}.self_attn.{p}_proj.{kind}") for p in "qkv"]
                named[f"layers.{layer}.self_attn.qkv.{kind}"] = torch.cat(parts)
        # Ends of ties are stored under both names: the input's counts.
        self.adaptive = "embed_tokens.weight" not in named
        tied = ("output_projection.", "adaptive_softmax.head.word_proj.", "adaptive_softmax.tail.")
        self.w = {n: torch.nn.Parameter(t) for n, t in named.items() if not n.startswith(tied)}
        self.heads, self.dropout = heads, dropout
        self.dim = self.w["layer_norm.weight"].numel()
        self.positions = sinusoids(self.tokens.shape[1], self.dim)
        length = self.tokens.shape[1]
        self.future = torch.full((length, length), -math.inf).triu(1)
        if self.adaptive:
            tables = sum(n.startswith("embed_tokens.embeddings.") and n.endswith(".0.weight") for n in self.w)
            ends = [self.w[f"embed_tokens.embeddings.{i}.0.weight"].shape[0] for i in range(tables)]
            self.bounds = [(sum(ends[:i]), sum(ends[:i + 1])) for i in range(tables)]
            assert [end for _, end in self.bounds[:-1]] == cutoffs, f"bands in the file: {self.bounds}"

    def drop(self, x):
        return F.dropout(x, self.dropout) if self.dropout > 0 else x

    def band(self, band, part):
        return self.w[f"embed_tokens.embeddings.{band}.{part}.weight"]

    def embed(self):
        if not self.adaptive:
            return F.embedding(self.tokens, self.w["embed_tokens.weight"], padding_idx=PAD)
        flat = self.tokens.flatten()
        places, vectors = [], []
        for i, (begin, end) in enumerate(self.bounds):
            here = ((flat >= begin) & (flat < end)).nonzero().squeeze(1)
            rows = F.embedding(flat[here] - begin, self.band(i, 0), padding_idx=PAD if i == 0 else None)
            places.append(here)
            vectors.append(F.linear(rows, self.band(i, 1)))
        order = torch.cat(places).argsort()
        return torch.cat(vectors)[order].float().view(*self.tokens.shape, self.dim)

    def attend(self, kind, x, name):
        batch, length, dim = x.shape
        qkv = F.linear(x, self.w[f"{name}.qkv.weight"], self.w[f"{name}.qkv.bias"])
        q, k, v = qkv.view(batch, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        if kind == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.dropout)
        else:
            scores = (q * (dim // self.heads) ** -0.5) @ k.transpose(-1, -2)
            mixed = self.drop((scores + self.future.to(scores.dtype)).softmax(-1)) @ v
        mixed = mixed.transpose(1, 2).reshape(batch, length, dim)
        return F.linear(mixed, self.w[f"{name}.out_proj.weight"], self.w[f"{name}.out_proj.bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (self.dim,), self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-5)

    def features(self, attention):
        x = self.drop(torch.add(self.positions, self.embed(), alpha=math.sqrt(self.dim)))
        for i in range(self.num_layers):
            name = f"layers.{i}"
            x = x + self.drop(self.attend(attention, self.norm(x, f"{name}.self_attn_layer_norm"), f"{name}.self_attn"))
            y = self.norm(x, f"{name}.final_layer_norm")
            y = F.relu(F.linear(y, self.w[f"{name}.fc1.weight"], self.w[f"{name}.fc1.bias"]), inplace=True)
            x = x + self.drop(F.linear(y, self.w[f"{name}.fc2.weight"], self.w[f"{name}.fc2.bias"]))
        return self.norm(x, "layer_norm").flatten(0, 1)

    def mean_loss(self, variant):
        attention, loss = variant.split("/")
        x, targets, scale = self.features(attention), self.targets, 1 / self.targets.numel()
        if not self.adaptive:
            return summed_loss(loss, x, self.w["embed_tokens.weight"], targets, scale)
        head = torch.cat([self.band(0, 0), self.w["adaptive_softmax.head.class_proj.weight"]])
        classes, total = targets.clone(), 0
        for i, (begin, end) in enumerate(self.bounds[1:]):
            here = ((targets >= begin) & (targets < end)).nonzero().squeeze(1)
            classes[here] = self.bounds[0][1] + i
            hidden = torch.mm(x[here], self.band(i + 1, 1))
            total = total + summed_loss(loss, hidden, self.band(i + 1, 0), targets[here] - begin, scale)
        return total + summed_loss(loss, x, head, classes, scale)


def variants(type_name, dropout):
    attentions = ["sdpa", "explicit"] if dropout > 0 else ["sdpa"]
    losses = ["full", "recomputed", "eager-grad"] + (["full-fp32"] if type_name == "bf16" else [])
    return [f"{attention}/{loss}" for attention in attentions for loss in losses]


def make(arguments):
    cutoffs = [int(c) for c in arguments.cutoffs.split(",")]
    model = Model(read_safetensors(arguments.file), arguments.heads, arguments.dropout, cutoffs)
    optimizer = torch.optim.AdamW(model.w.values(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, fused=True)
    return model, optimizer


def step(model, optimizer, variant, is_bf16):
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16, cache_enabled=True):
        loss = model.mean_loss(variant)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - start
    return seconds, loss.item() * model.targets.numel()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", required=True)
    parser.add_argument("--type", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--cutoffs", default="8192,16384")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model, optimizer = make(arguments)
    print(json.dumps({"torch": torch.__version__, "numpy": numpy.__version__, "python": platform.python_version(),
                      "variants": variants(arguments.type, arguments.dropout)}), flush=True)
    for line in sys.stdin:
        if line == "reset\n":
            model, optimizer = make(arguments)
            print("ok", flush=True)
            continue
        _, variant = line.split()
        seconds, loss = step(model, optimizer, variant, arguments.type == "bf16")
        print(f"{seconds:.6f} {loss:.9g}", flush=True)


if __name__ == "__main__":
    main()
