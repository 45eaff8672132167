"""Golden windows of an evaluation with --context-window: which tokens are fed, in which order, from where on
they are scored, and what a toy model makes of them. Restated on plain lists.

--tokens-per-sample counts a sample and its context together: samples are cut to tokens_per_sample - context_window. Each
is fed after as many source tokens of the samples before it as still fit, at most context_window. Samples above
max_positions are left out, and serve nobody as context.

The toy model sees the token and its place in the window: the logit of word v is
2 sin(1.3 token + 0.7 v) + 0.4 cos(0.9 v + place).

Usage: eval_windows.py [OUTPUT_FOLDER]   writes eval_windows.json
"""
import json
import math
import pathlib
import random
import sys

EOS, PAD, VOCABULARY = 2, 1, 20


def make_sentences(rng, sizes):
    return [[rng.randint(4, VOCABULARY - 1) for _ in range(size - 1)] + [EOS] for size in sizes]


def cut(sentences, mode, block_size):
    """Samples as lists of (source, target) tokens."""
    if mode == "none":
        text = [token for sentence in sentences for token in sentence]
        starts = {sum(len(s) for s in sentences[:i]) for i in range(len(sentences))}
        firsts = [EOS if i in starts else text[i - 1] for i in range(0, len(text), block_size)]
        targets = [text[i:i + block_size] for i in range(0, len(text), block_size)]
    else:
        targets = []
        for sentence in sentences:
            if mode == "complete" and targets and len(targets[-1]) + len(sentence) <= block_size:
                targets[-1] = targets[-1] + sentence
            else:
                targets.append(sentence)
        firsts = [EOS] * len(targets)
    return [list(zip([first] + target[:-1], target)) for first, target in zip(firsts, targets)]


def windows(samples, block_size, context_window, max_positions):
    """(windows in order, numbers of the samples left out)."""
    result, left_out, before = [], [], []
    for number, sample in enumerate(samples):
        if max_positions > 0 and len(sample) > max_positions:
            left_out.append(number)
            continue
        source, target = [s for s, _ in sample], [t for _, t in sample]
        room = max(block_size + context_window - len(source), 0)
        context = before[max(len(before) - room, 0):]
        tokens = context + source
        result.append({"sample": number, "start": len(context), "tokens": tokens,
                       "target": [PAD] * len(context) + target})
        before = tokens[len(tokens) - min(context_window, len(tokens)):]
    return result, left_out


def batch(entries, samples, max_tokens, batch_size):
    """Neighbours share a batch while samples (without their contexts), padded to the longest, stay within the limits."""
    batches = [[]]
    for entry in entries:
        grown = batches[-1] + [entry["sample"]]
        longest = max(len(samples[i]) for i in grown)
        if (batch_size > 0 and len(grown) > batch_size) or (max_tokens > 0 and len(grown) * longest > max_tokens):
            batches.append([])
        batches[-1].append(entry["sample"])
    return [b for b in batches if b]


def log_prob(token, place, word):
    logits = [2 * math.sin(1.3 * token + 0.7 * v) + 0.4 * math.cos(0.9 * v + place) for v in range(VOCABULARY)]
    return logits[word] - math.log(sum(math.exp(x) for x in logits))


def score(entry):
    return [log_prob(token, place, word) for place, (token, word) in enumerate(zip(entry["tokens"], entry["target"]))
            if place >= entry["start"]]


def case(sentences, mode, tokens_per_sample, context_window, max_positions):
    block_size = tokens_per_sample - context_window
    samples = cut(sentences, mode, block_size)
    entries, left_out = windows(samples, block_size, context_window, max_positions)
    scores = [s for entry in entries for s in score(entry)]
    loss = -sum(scores) / len(scores) / math.log(2)
    longest = max(len(samples[entry["sample"]]) for entry in entries)
    limits = [(36000, 0), (0, 1), (0, 3), (2 * longest + 1, 0), (3 * longest, 2)]
    return {"break_mode": mode, "tokens_per_sample": tokens_per_sample, "context_window": context_window,
            "max_positions": max_positions, "sentences": sentences, "num_samples": len(entries), "left_out": left_out,
            "windows": entries, "num_scored": len(scores), "nll": -sum(scores), "loss": loss, "perplexity": 2 ** loss,
            "log_probs_of_window_1": score(entries[min(1, len(entries) - 1)]),
            "batches": [{"max_tokens": t, "batch_size": b, "samples": batch(entries, samples, t, b)} for t, b in limits]}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(8)
    texts = {"even": [6] * 7, "uneven": [3, 9, 1, 5, 12, 2, 2, 7, 4], "one long": [31], "short": [1, 2, 1],
             "long among short": [2, 3, 15, 2, 4, 11, 1, 3]}
    cases = []
    for name, sizes in texts.items():
        sentences = make_sentences(rng, sizes)
        for tokens_per_sample, context_window in [(8, 0), (8, 3), (8, 7), (12, 8), (64, 5)]:
            for mode in ("none", "complete", "eos"):
                cases.append({"text": name} | case(sentences, mode, tokens_per_sample, context_window, 0))
        if name == "long among short":
            for mode, max_positions in [("complete", 12), ("eos", 10), ("eos", 12)]:
                cases.append({"text": name} | case(sentences, mode, 10, 6, max_positions))
    (folder / "eval_windows.json").write_text(json.dumps({"vocabulary": VOCABULARY, "cases": cases},
                                                         separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
