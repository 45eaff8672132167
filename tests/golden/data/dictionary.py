"""Golden values for the dictionary: fairseq's rules (fairseq/data/dictionary.py), restated.

Usage: dictionary.py [OUTPUT_FOLDER]   writes dictionary.json
"""
import json
import pathlib
import sys

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
LINES = [
    "the cat sat on the mat .",
    "the dog and the cat ,  a   tale",
    "",
    "\tzebra apple\u00a0pear\u3000fig zebra apple",
    "<unk> is unknown , </s> ends",
    "na\u00efve caf\u00e9 \u00e9t\u00e9 Zebra \U0001f600 \U0001f600",
    "madeupword0001 stands here , the end .",
]
TEST_LINES = ["the cat , unseen words", "caf\u00e9 \u2003<unk> fig.", "", "zebra"]


def count_words(lines):
    counts = {}
    for line in lines:
        for word in line.split() + ["</s>"]:
            counts[word] = counts.get(word, 0) + 1
    return counts


def build(counts, threshold, nwords, padding_factor):
    words = sorted((w for w in counts if w not in SPECIALS), key=lambda w: (-counts[w], w))
    limit = nwords if nwords > 0 else len(words) + len(SPECIALS)
    words = words[: max(limit - len(SPECIALS), 0)]
    entries = [(s, 1 + counts.get(s, 0)) for s in SPECIALS]
    entries += [(w, counts[w]) for w in words if counts[w] >= threshold]
    names = {w for w, _ in entries}
    filler = 0
    while padding_factor > 1 and len(entries) % padding_factor:
        name = "madeupword%04d" % filler
        if name not in names:
            entries.append((name, 0))
            names.add(name)
        filler += 1
    return entries


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    counts = count_words(LINES)
    cases = []
    for threshold, nwords, padding in [(0, -1, 8), (2, -1, 8), (0, 10, 8), (0, 10, 1), (3, 9, 0), (0, 2, 4), (0, -1, 32)]:
        entries = build(counts, threshold, nwords, padding)
        number = {w: i for i, (w, _) in enumerate(entries)}
        encoded = [[number.get(w, 3) for w in line.split()] + [2] for line in TEST_LINES]
        dict_txt = "".join("%s %d\n" % e for e in entries[len(SPECIALS):])
        cases.append(dict(threshold=threshold, nwords=nwords, padding_factor=padding, entries=entries,
                          dict_txt=dict_txt, encoded=encoded))
    result = dict(lines=LINES, test_lines=TEST_LINES, cases=cases)
    (folder / "dictionary.json").write_text(json.dumps(result, indent=1) + "\n")


main()
