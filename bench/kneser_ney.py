#!/usr/bin/env python3
"""Perplexity of an interpolated Kneser-Ney n-gram on a preprocessed folder: the yardstick a neural model has to beat.

Reads the same binarized tokens (dict.txt, train.bin/.idx, SUBSET.bin/.idx) as `qn train` and `qn eval-lm`, counts on
`train`, and scores every token of the subset, end-of-sentence marks included, with the text as one stream.

Interpolated Kneser-Ney with one absolute discount an order, D = n1 / (n1 + 2 n2)
(Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1999).
"""
import argparse
import collections
import json
import math
import os
import struct
import sys

DTYPES = {1: "B", 2: "b", 3: "h", 4: "i", 5: "q", 8: "H"}


def read_tokens(prefix):
    """All token ids of a memory-mapped data set, as one list."""
    with open(prefix + ".idx", "rb") as index:
        magic = index.read(9)
        if magic != b"MMIDIDX\x00\x00":
            sys.exit(f"error: {prefix}.idx: found {magic!r}, expected an MMIDIDX index")
        _version, code = struct.unpack("<QB", index.read(9))
        count = struct.unpack("<Q", index.read(8))[0]
        sizes = struct.unpack(f"<{count}i", index.read(4 * count))
    total = sum(sizes)
    with open(prefix + ".bin", "rb") as data:
        raw = data.read()
    return list(struct.unpack(f"<{total}{DTYPES[code]}", raw[: total * struct.calcsize(DTYPES[code])]))


class KneserNey:
    """counts[n][(context, word)]: raw counts at the highest order, continuation counts below."""

    def __init__(self, tokens, order, vocabulary_size):
        self.order, self.vocabulary_size = order, vocabulary_size
        highest = collections.Counter(zip(*(tokens[i:] for i in range(order))))
        self.levels = [highest]
        for _ in range(order - 1):
            self.levels.append(collections.Counter(gram[1:] for gram in self.levels[-1]))
        self.levels.reverse()  # levels[n] holds grams of n + 1 words
        self.discounts, self.totals, self.followers = [], [], []
        for level in self.levels:
            ones = sum(1 for count in level.values() if count == 1)
            twos = sum(1 for count in level.values() if count == 2)
            self.discounts.append(ones / (ones + 2 * twos) if ones else 0.5)
            totals, followers = collections.Counter(), collections.Counter()
            for gram, count in level.items():
                totals[gram[:-1]] += count
                followers[gram[:-1]] += 1
            self.totals.append(totals)
            self.followers.append(followers)

    def probability(self, context, word):
        probability = 1.0 / self.vocabulary_size
        for n in range(self.order):
            history = tuple(context[len(context) - n:])
            total = self.totals[n].get(history, 0)
            if total == 0:
                break
            discount = self.discounts[n]
            count = self.levels[n].get(history + (word,), 0)
            probability = (max(count - discount, 0.0) + discount * self.followers[n][history] * probability) / total
        return probability


def perplexity(model, tokens):
    log_sum = 0.0
    for position, word in enumerate(tokens):
        log_sum += math.log(model.probability(tokens[max(0, position - model.order + 1):position], word))
    return math.exp(-log_sum / len(tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder written by qn preprocess")
    parser.add_argument("--subset", default="test")
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()

    with open(os.path.join(arguments.data, "dict.txt"), encoding="utf-8") as dictionary:
        vocabulary_size = 4 + sum(1 for line in dictionary if line.strip())
    train = read_tokens(os.path.join(arguments.data, "train"))
    tokens = read_tokens(os.path.join(arguments.data, arguments.subset))
    ppl = perplexity(KneserNey(train, arguments.order, vocabulary_size), tokens)
    if arguments.json:
        print(json.dumps({"model": f"kneser-ney-{arguments.order}", "subset": arguments.subset,
                          "tokens": len(tokens), "ppl": ppl}))
    else:
        print(f"interpolated Kneser-Ney {arguments.order}-gram, {arguments.subset}, {len(tokens)} tokens: ppl {ppl:.2f}")


if __name__ == "__main__":
    main()
