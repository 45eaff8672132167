"""Golden values for token blocks and the context window: fairseq's rules (token_block_dataset.py,
lm_context_window_dataset.py), restated on plain lists.

Usage: token_blocks.py [OUTPUT_FOLDER]   writes token_blocks.json
"""
import json
import pathlib
import random
import sys

EOS, PAD = 2, 1


def make_sentences(rng, count, longest, separator_rate):
    sentences = []
    for _ in range(count):
        length = 0 if rng.random() < separator_rate else rng.randint(1, longest)
        sentences.append([rng.randint(4, 50) for _ in range(length)] + [EOS])
    return sentences


def group_sentences(sentences, mode, block_size):
    """Lists of neighbouring sentence numbers that form a block, for all modes but 'none'."""
    if mode == "eos":
        return [[i] for i in range(len(sentences))]
    groups, group = [], []
    for i, sentence in enumerate(sentences):
        if mode == "complete_doc" and len(sentence) == 1:
            groups.append(group)
            group = []
            continue
        size = sum(len(sentences[j]) for j in group)
        if group and size + len(sentence) > block_size:
            groups.append(group)
            group = []
        group.append(i)
    groups.append(group)
    shortest = 2 if mode == "complete_doc" else 1
    return [g for g in groups if sum(len(sentences[j]) for j in g) >= shortest]


def cut(sentences, mode, block_size):
    """Samples as (source, target)."""
    if mode != "none":
        targets = [sum((sentences[j] for j in g), []) for g in group_sentences(sentences, mode, block_size)]
        return [([EOS] + t[:-1], t) for t in targets]
    flat = [(token, offset == 0) for s in sentences for offset, token in enumerate(s)]
    tokens = [token for token, _ in flat]
    samples = []
    for begin in range(0, len(tokens), block_size):
        first = EOS if flat[begin][1] else tokens[begin - 1]
        target = tokens[begin: begin + block_size]
        samples.append(([first] + target[:-1], target))
    return samples


def add_context(samples, tokens_per_sample, window):
    """The reference's collater: state carried from sample to sample."""
    previous, result = [], []
    for source, _ in samples:
        extra = len(previous) + len(source) - (tokens_per_sample + window)
        if extra > 0:
            previous = previous[extra:]
        result.append(list(previous))
        if window > 0:
            previous = [t for t in previous + source if t != PAD][-window:]
    return result


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(20)
    cases = []
    for count, longest, separator_rate in [(1, 1, 0), (6, 5, 0), (20, 9, 0.2), (25, 14, 0.3), (3, 40, 0)]:
        sentences = make_sentences(rng, count, longest, separator_rate)
        for mode in ["none", "complete", "complete_doc", "eos"]:
            for block_size in [1, 4, 8, 13]:
                samples = cut(sentences, mode, block_size)
                windows = [dict(window=w, contexts=add_context(samples, block_size, w)) for w in (0, 3, 10)]
                cases.append(dict(sentences=sentences, mode=mode, block_size=block_size, windows=windows,
                                  sources=[s for s, _ in samples], targets=[t for _, t in samples]))
    (folder / "token_blocks.json").write_text(json.dumps(dict(cases=cases), separators=(",", ":")) + "\n")


main()
