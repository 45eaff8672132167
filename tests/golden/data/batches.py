"""Golden values for the order of samples, their batches and shards: fairseq's rules (data_utils_fast.pyx, iterators.py),
restated on plain lists; the last batch is kept.

Usage: batches.py [OUTPUT_FOLDER]   writes batches.json
"""
import json
import pathlib
import random
import sys

import numpy


def fits(sizes, max_tokens, max_sentences):
    return ((max_sentences <= 0 or len(sizes) <= max_sentences)
            and (max_tokens <= 0 or len(sizes) * max(sizes) <= max_tokens))


def batch_by_size(indices, sizes, max_tokens, max_sentences, multiple):
    """A batch grows by a tail only when both together have a permitted number of sentences."""
    batches, batch, tail = [], [], []
    for index in indices:
        tail = tail + [index]
        size_of = lambda items: [sizes[i] for i in items]
        if not fits(size_of(batch + tail), max_tokens, max_sentences):
            batches.append(batch)
            if max_tokens > 0 and len(tail) * max(size_of(tail)) > max_tokens:
                batches.append(tail[:-1])
                tail = tail[-1:]
            batch, tail = tail, []
        elif len(batch + tail) < multiple or len(batch + tail) % multiple == 0:
            batch, tail = batch + tail, []
    return batches + [b for b in (batch, tail) if b]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(31)
    cases = []
    for number in range(120):
        count = rng.choice([1, 2, 7, 8, 9, 30, 61])
        longest = rng.choice([1, 5, 20])
        sizes = [rng.randint(1, longest) for _ in range(count)]
        if number % 4 == 0:
            sizes = [longest] * (count - 1) + [rng.randint(1, longest)]
        permutation = list(range(count))
        rng.shuffle(permutation)
        by_size = [int(i) for i in numpy.lexsort([permutation, sizes])]
        indices = by_size if number % 2 else list(range(count))
        max_tokens = rng.choice([0, longest, 2 * longest, 3 * longest + 1, 8 * longest, 20 * longest])
        max_sentences = rng.choice([0, 0, 1, 3, 8, 12])
        multiple = rng.choice([1, 2, 3, 8])
        batches = batch_by_size(indices, sizes, max_tokens, max_sentences, multiple)
        assert sum(batches, []) == indices
        cases.append(dict(sizes=sizes, permutation=permutation, by_size=by_size, indices=indices, max_tokens=max_tokens,
                          max_sentences=max_sentences, multiple=multiple, batches=batches))
    shards = []
    for count, num_shards in [(10, 1), (10, 2), (10, 3), (10, 4), (2, 4), (1, 3), (12, 5)]:
        order = list(range(count))
        rng.shuffle(order)
        longest = -(-count // num_shards)
        parts = [order[shard::num_shards] for shard in range(num_shards)]
        shards.append(dict(order=order, shards=[p + [-1] * (longest - len(p)) for p in parts]))
    (folder / "batches.json").write_text(json.dumps(dict(cases=cases, shards=shards), separators=(",", ":")) + "\n")


main()
