"""Golden values of adaptive input and adaptive softmax, written from scratch in plain torch, double
precision; and of small language models made of them with the layers of decoder.py beside this script.

Band i of the words [start, end) has a table (end - start, dim / factor^i) and, at the input, a projection to the model's
dim, the first band too. The softmax has a head of the first band's words and one class for each other band, and a tail for
each of those: projection to the band's dim, then table. The ways to tie them:
  untied        head and tails have weights of their own
  tied          the head's words are the table of band 0, the tails end in the tables of their bands
  tied_proj     and the tails' projections are the input's, transposed
Only row 1 of the first band is padding: it gives zero, learns nothing, and as a target it does not count. Row 1 of another
band is a word like any other, as input and as target.

Usage: adaptive.py [OUTPUT_FOLDER]   writes adaptive_input.json, adaptive_softmax.json and
                                     adaptive_lm_{untied,tied,tied_proj}.json
"""
import json
import math
import pathlib
import runpy
import sys
import types

import torch
import torch.nn.functional as F

# run_path, because an import would leave compiled files beside the sources.
lm = types.SimpleNamespace(**runpy.run_path(str(pathlib.Path(__file__).with_name("decoder.py"))))

PAD, VOCABULARY, CUTOFFS, FACTOR, DIM = 1, 30, [8, 18], 2, 16
BOUNDS = list(zip([0] + CUTOFFS, CUTOFFS + [VOCABULARY]))
TIES = {"untied": (False, False), "tied": (True, False), "tied_proj": (True, True)}

# Tokens around all cutoffs, the words behind each cutoff (9, 19) among them.
TOKENS = [[5, 9, 2, 17, 22, 4, 29], [8, 19, 18, 7, 2, PAD, PAD]]
TARGETS = [[9, 2, 17, 22, 4, 29, 2], [19, 18, 7, 2, 0, PAD, PAD]]


def table_name(band):
    return f"embed_tokens.embeddings.{band}.0.weight"


def projection_name(band):
    return f"embed_tokens.embeddings.{band}.1.weight"


def band_dim(band):
    return int(DIM / FACTOR ** band)


def input_shapes():
    tables = {table_name(b): (end - begin, band_dim(b)) for b, (begin, end) in enumerate(BOUNDS)}
    return tables | {projection_name(b): (DIM, band_dim(b)) for b in range(len(BOUNDS))}


def softmax_shapes(tie_weights, tie_projections):
    """Weights of the softmax that are not the input's."""
    classes = len(CUTOFFS)
    shapes = {"adaptive_softmax.head.class_proj.weight": (classes, DIM)} if tie_weights else \
        {"adaptive_softmax.head.weight": (CUTOFFS[0] + classes, DIM)}
    for tail, (begin, end) in enumerate(BOUNDS[1:]):
        if not tie_projections:
            shapes[f"adaptive_softmax.tail.{tail}.0.weight"] = (band_dim(tail + 1), DIM)
        if not tie_weights:
            shapes[f"adaptive_softmax.tail.{tail}.2.weight"] = (end - begin, band_dim(tail + 1))
    return shapes


def adaptive_input(w, tokens):
    result = torch.zeros(*tokens.shape, DIM, dtype=torch.float64)
    for band, (begin, end) in enumerate(BOUNDS):
        inside = (tokens >= begin) & (tokens < end)
        padding = PAD if band == 0 else None
        rows = F.embedding(tokens[inside] - begin, w[table_name(band)], padding_idx=padding)
        result = result.masked_scatter(inside.unsqueeze(-1), rows @ w[projection_name(band)].t())
    return result


def head_logits(w, x):
    if "adaptive_softmax.head.weight" in w:
        return x @ w["adaptive_softmax.head.weight"].t()
    return torch.cat([x @ w[table_name(0)].t(), x @ w["adaptive_softmax.head.class_proj.weight"].t()], dim=-1)


def tail_logits(w, x, tail):
    own_projection = w.get(f"adaptive_softmax.tail.{tail}.0.weight")
    hidden = x @ (w[projection_name(tail + 1)] if own_projection is None else own_projection.t())
    own_table = w.get(f"adaptive_softmax.tail.{tail}.2.weight")
    return hidden @ (w[table_name(tail + 1)] if own_table is None else own_table).t()


def all_log_probs(w, x):
    """log p of every word, (n, VOCABULARY)."""
    head = head_logits(w, x).log_softmax(-1)
    parts = [head[:, :CUTOFFS[0]]]
    for tail in range(len(CUTOFFS)):
        parts.append(head[:, CUTOFFS[0] + tail, None] + tail_logits(w, x, tail).log_softmax(-1))
    return torch.cat(parts, dim=-1)


def nll_sum(w, x, targets):
    """The loss as it is trained: cross-entropy of the head, and of each tail at its own positions."""
    classes, losses = targets.clone(), []
    for tail, (begin, end) in enumerate(BOUNDS[1:]):
        inside = (targets >= begin) & (targets < end)
        classes[inside] = CUTOFFS[0] + tail
        losses.append(F.cross_entropy(tail_logits(w, x[inside], tail), targets[inside] - begin, reduction="sum"))
    return F.cross_entropy(head_logits(w, x), classes, ignore_index=PAD, reduction="sum") + sum(losses)


def make_weights(shapes, generator):
    """Random weights that fp32 holds exactly."""
    weights = {}
    for name, shape in sorted(shapes.items()):
        weight = torch.randn(shape, generator=generator, dtype=torch.float32) * shape[-1] ** -0.5
        if name == table_name(0):
            weight[PAD] = 0
        weights[name] = weight.double().requires_grad_()
    return weights


def gradients_of(loss, tensors):
    """One gradient a tensor; zero where it plays no part and in the padding row."""
    found = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True, retain_graph=True)
    gradients = {}
    for (name, tensor), gradient in zip(tensors.items(), found):
        gradient = torch.zeros_like(tensor) if gradient is None else gradient.clone()
        if name == table_name(0):
            gradient[PAD] = 0
        gradients[name] = gradient
    return gradients


def nested(tensors):
    return {name: tensor.detach().tolist() for name, tensor in tensors.items()}


OPTIONS = {"vocab_size": VOCABULARY, "padding_idx": PAD, "dim": DIM, "cutoff": CUTOFFS, "factor": float(FACTOR)}


def input_file():
    generator = torch.Generator().manual_seed(3)
    w = make_weights(input_shapes(), generator)
    cases = []
    for tokens in [TOKENS, [[0, 7, PAD, 2, 7]], [[9, 9, 17]], [[19, 29, 18, 3]], [[PAD]]]:
        outputs = adaptive_input(w, torch.tensor(tokens))
        upstream = torch.randn(outputs.shape, generator=generator, dtype=torch.float32).double()
        cases.append({"tokens": tokens, "outputs": outputs.tolist(), "upstream": upstream.tolist(),
                      "gradients": nested(gradients_of((outputs * upstream).sum(), w))})
    return {"options": OPTIONS, "weights": nested(w), "cases": cases}


def softmax_batch(w, targets, generator):
    targets = torch.tensor(targets)
    x = torch.randn(len(targets), DIM, generator=generator, dtype=torch.float32).double().requires_grad_()
    loss, log_probs = nll_sum(w, x, targets), all_log_probs(w, x)
    at_target = log_probs.gather(1, targets.unsqueeze(1)).squeeze(1).masked_fill(targets == PAD, 0.0)
    assert torch.allclose(loss, -at_target.sum()) and torch.allclose(log_probs.exp().sum(1), torch.ones_like(at_target))
    return loss, {"features": x.tolist(), "targets": targets.tolist(), "nll_sum": loss.item(),
                  "log_probs": log_probs.tolist(), "target_log_probs": at_target.tolist(),
                  "gradients": nested(gradients_of(loss, {"features": x} | w))}


def softmax_case(name, generator):
    tie_weights, tie_projections = TIES[name]
    w = make_weights(input_shapes() | softmax_shapes(tie_weights, tie_projections), generator)
    everywhere, in_head, in_last_tail = [5, 9, 19, PAD, 17, 29, 0, 8, 18, 7, 2, 9], [3, PAD, 7], [19, 18]
    losses, batches = zip(*[softmax_batch(w, t, generator) for t in (everywhere, in_head, in_last_tail)])
    # The first batch with an input in the same graph, so that gradients of what is tied add up both uses.
    outputs = adaptive_input(w, torch.tensor(TOKENS))
    upstream = torch.randn(outputs.shape, generator=generator, dtype=torch.float32).double()
    both = gradients_of(losses[0] + (outputs * upstream).sum(), w)
    return {"name": name, "tie_weights": tie_weights, "tie_proj": tie_projections, "weights": nested(w), "batches": batches,
            "with_input": {"tokens": TOKENS, "upstream": upstream.tolist(), "gradients": nested(both)}}


def softmax_file():
    generator = torch.Generator().manual_seed(4)
    return {"options": OPTIONS, "cases": [softmax_case(name, generator) for name in TIES]}


def lm_file(name):
    tie_weights, tie_projections = TIES[name]
    options = dict(lm.BASE, vocab_size=VOCABULARY, decoder_normalize_before=True, no_decoder_final_norm=True,
                   decoder_learned_pos=False, share_decoder_input_output_embed=False, activation_fn="relu",
                   adaptive_input=True, adaptive_input_cutoff=CUTOFFS, adaptive_input_factor=float(FACTOR),
                   adaptive_softmax_cutoff=CUTOFFS, adaptive_softmax_dropout=0.0, adaptive_softmax_factor=float(FACTOR),
                   tie_adaptive_weights=tie_weights, tie_adaptive_proj=tie_projections)
    shapes = input_shapes() | softmax_shapes(tie_weights, tie_projections)
    weights = lm.make_weights({f"decoder.{n}": shape for n, shape in shapes.items()} | lm.layer_shapes(options))
    adaptive = {n: weights[f"decoder.{n}"] for n in shapes}
    tokens, targets = torch.tensor(TOKENS), torch.tensor(TARGETS)
    features = lm.decoder(options, weights, tokens, adaptive_input(adaptive, tokens) * math.sqrt(DIM))
    log_probs = all_log_probs(adaptive, features.flatten(0, 1))
    at_target = log_probs.gather(1, targets.view(-1, 1)).view_as(targets).masked_fill(targets == PAD, 0.0)
    assert torch.allclose(nll_sum(adaptive, features.flatten(0, 1), targets.flatten()), -at_target.sum())
    # An adaptive model's scores of all words are known as log-probabilities only.
    return lm.finish(options, weights, tokens, targets, features, log_probs[0], at_target)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for name, content in [("adaptive_input", input_file()), ("adaptive_softmax", softmax_file())]:
        (folder / f"{name}.json").write_text(json.dumps(lm.rounded(content), separators=(",", ":")) + "\n")
    for name in TIES:
        (folder / f"adaptive_lm_{name}.json").write_text(json.dumps(lm.rounded(lm_file(name)), indent=1) + "\n")


if __name__ == "__main__":
    main()
