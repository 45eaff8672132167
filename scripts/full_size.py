#!/usr/bin/env python3
"""The three language-model commands of fairseq's quant_noise example at full size: 246,933,504 weights.

Real text, and words that never occur to fill its dictionary to the 267,744 entries of Wikitext-103. One update of training,
the evaluation with its context window, and the quantization with one update a stage; every number that the paper or its code
fixes is compared, and time and peak memory are printed. Needs some 10 GiB of memory and 8 GiB of disk."""
import argparse
import collections
import json
import math
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QN = os.environ.get("QN", os.path.join(ROOT, "build", "release", "bin", "qn"))
ENTRIES = 267744
SPECIALS = 4
PARAMETERS = 246933504
PRUNED_PARAMETERS = 146163712
STAGES_MIB = [446.10, 278.54, 38.66]

ADAPTIVE = """--adaptive-input --adaptive-input-cutoff 20000,60000 --adaptive-input-factor 4
--adaptive-softmax-cutoff 20000,60000 --adaptive-softmax-dropout 0.2 --adaptive-softmax-factor 4.0"""
DECODER = """--decoder-attention-heads 8 --decoder-embed-dim 1024 --decoder-ffn-embed-dim 4096 --decoder-input-dim 1024
--decoder-layers 16 --decoder-normalize-before --decoder-output-dim 1024"""
TRAIN = f"""{ADAPTIVE} --tie-adaptive-proj --tie-adaptive-weights --arch transformer_lm_gbw
--attention-dropout 0.1 --dropout 0.2 --relu-dropout 0.1 --clip-norm 0.1 --criterion adaptive_loss --ddp-backend no_c10d
{DECODER} --min-lr 0.0001 --lr-period-updates 270000 --lr-scheduler cosine --lr-shrink 0.75 --lr 1.0 --t-mult 2.0
--max-tokens 3072 --tokens-per-sample 3072 --momentum 0.99 --optimizer nag --sample-break-mode none --update-freq 3
--warmup-init-lr 1e-07 --warmup-updates 16000 --weight-decay 0 --seed 1 --stop-min-lr 1e-09
--quant-noise-pq 0.05 --quant-noise-pq-block-size 8"""
EVALUATE = "--sample-break-mode complete --max-tokens 3072 --context-window 2560 --softmax-batch 1024 --gen-subset valid"
QUANTIZE = f"""{ADAPTIVE} --arch transformer_lm_gbw --attention-dropout 0.1 --dropout 0.2 --relu-dropout 0.1
--bucket-cap-mb 25 --char-embedder-highway-layers 2 --character-embedding-dim 4 --clip-norm 0.1 --criterion adaptive_loss
--ddp-backend no_c10d {DECODER} --fp16 --keep-last-epochs -1 --min-lr 0.0001 --lr-period-updates 270000
--lr-scheduler cosine --lr-shrink 0.75 --lr 0.05 --stop-min-lr 1e-09 --max-tokens 2944 --tokens-per-sample 2944--momentum 0.99
--no-epoch-checkpoints --no-progress-bar --optimizer nag --required-batch-size-multiple 8 --sample-break-mode none --t-mult 2.0
--skip-invalid-size-inputs-valid-test --tie-adaptive-proj --tie-adaptive-weights --update-freq 3 --weight-decay 0 --seed 1
--log-interval 100 --no-progress-bar --skip-invalid-size-inputs-valid-test"""


class Checks:
    """What was found beside what was expected."""

    def __init__(self):
        self.failed = 0

    def equal(self, what, found, expected, tolerance=0.0):
        good = abs(found - expected) <= tolerance * abs(expected)
        self.failed += not good
        print(f"{'ok' if good else 'WRONG':<6}{what}: {found:,} (expected {expected:,}"
              + (f" within {tolerance:g})" if tolerance else ")"), flush=True)

    def at_most(self, what, found, limit):
        good = found <= limit
        self.failed += not good
        print(f"{'ok' if good else 'WRONG':<6}{what}: {found:,.2f} (at most {limit:,})", flush=True)


def run(arguments):
    """Events of one command, its seconds and its peak memory in GiB."""
    command = [QN] + arguments + (["--log-format", "json"] if arguments[0] in ("train", "eval-lm") else [])
    print("$ qn " + " ".join(arguments), file=sys.stderr, flush=True)
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    events = []
    for line in process.stdout:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            print(line.rstrip()[:300], file=sys.stderr, flush=True)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        for event in events[-5:]:
            print(event, file=sys.stderr)
        sys.exit(f"error: qn {arguments[0]} failed")
    return events, time.monotonic() - start, usage.ru_maxrss / 2**20


def last(events, name):
    return [event for event in events if event.get("event") == name][-1]


def write_data(text, folder, train_lines, valid_lines):
    """A folder in fairseq's format whose dictionary has ENTRIES entries."""
    counts = collections.Counter()
    os.makedirs(folder, exist_ok=True)
    for split, limit in (("train", train_lines), ("valid", valid_lines)):
        with open(os.path.join(text, split + ".txt"), encoding="utf-8") as source:
            lines = [line for _, line in zip(range(limit), source)]
        with open(os.path.join(folder, split + ".txt"), "w", encoding="utf-8") as part:
            part.writelines(lines)
        if split == "train":
            for line in lines:
                counts.update(line.split())
    words = sorted(counts, key=lambda word: (-counts[word], word))
    with open(os.path.join(folder, "words.txt"), "w", encoding="utf-8") as dictionary:
        # Every tenth entry is a word of the text, so that all three bands occur.
        used, step = 0, max((ENTRIES - SPECIALS) // max(len(words), 1), 1)
        for i in range(ENTRIES - SPECIALS):
            if i % step == 0 and used < len(words):
                dictionary.write(f"{words[used]} {counts[words[used]]}\n")
                used += 1
            else:
                dictionary.write(f"filler{i:06d} 0\n")
    run(["preprocess", "--only-source", "--srcdict", os.path.join(folder, "words.txt"), "--workers", "2",
         "--trainpref", os.path.join(folder, "train.txt"), "--validpref", os.path.join(folder, "valid.txt"),
         "--destdir", os.path.join(folder, "bin")])
    return os.path.join(folder, "bin")


def inspect(path):
    done = subprocess.run([QN, "inspect", path, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def message(events, pattern):
    texts = [event["text"] for event in events if pattern in str(event.get("text", ""))]
    return texts[0] if texts else ""


def parameters(events):
    return int(message(events, " parameters").split(" parameters")[0].split()[-1].replace(",", ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder with train.txt and valid.txt")
    parser.add_argument("--out", required=True)
    parser.add_argument("--train-lines", type=int, default=4000)
    parser.add_argument("--valid-lines", type=int, default=150)
    arguments = parser.parse_args()
    checks = Checks()
    data = write_data(arguments.text, arguments.out, arguments.train_lines, arguments.valid_lines)
    dense, quantized = os.path.join(arguments.out, "dense"), os.path.join(arguments.out, "quantized")
    for folder in (dense, quantized):  # a run that is there would be gone on with, and nothing measured
        shutil.rmtree(folder, ignore_errors=True)
    train = ["train", "--task", "language_modeling", data] + TRAIN.split()

    events, seconds, memory = run(train + ["--save-dir", dense, "--max-update", "1", "--no-epoch-checkpoints"])
    checks.equal("parameters", parameters(events), PARAMETERS)
    checks.at_most("peak memory of one update, GiB", memory, 12)
    print(f"      one update of 9,216 tokens with validation and files: {seconds:.0f} s", flush=True)
    model = os.path.join(dense, "model.qn")

    half = os.path.join(arguments.out, "half.qn")
    run(["export", model, "--decoder-layers-to-keep", "0,2,4,6,8,10,12,14", "-o", half])
    info = inspect(half)
    checks.equal("parameters with 8 layers kept",
                 sum(math.prod(part["shape"]) for part in info["weights"] + info["tensors"]), PRUNED_PARAMETERS)

    events, seconds, memory = run(["eval-lm", data, "--path", model] + EVALUATE.split())
    print(f"      evaluation: perplexity {events[-1]['ppl']:.1f}, {seconds:.0f} s, {memory:.1f} GiB", flush=True)

    config = os.path.join(ROOT, "recipes", "wiki103_ipq.yaml")
    events, seconds, memory = run(["train", "--task", "language_modeling", data, "--save-dir", quantized] + QUANTIZE.split()
                                  + ["--restore-file", model, "--max-update", "13500", "--quantization-config-path", config,
                                     "--max-update", "3"])
    for stage, expected in zip([event for event in events if event.get("event") == "stage"], STAGES_MIB):
        checks.equal(f"MiB after stage {stage['stage']}", round(stage["size_mib"], 2), expected, 1e-4)
    checks.at_most("peak memory of the three stages, GiB", memory, 12)
    print(f"      three stages with one update each: {seconds:.0f} s", flush=True)
    done = last(events, "done")
    compressed = os.path.join(quantized, "model.qn")
    sizes = inspect(compressed)["size"]
    checks.equal("bytes of the file less header and dictionary", sizes["file"] - sizes["header"] - sizes["blobs"],
                 int(STAGES_MIB[-1] * 2**20), 0.01)
    events, _, _ = run(["eval-lm", data, "--path", compressed, "--tokens-per-sample", "2944", "--max-tokens", "2944",
                          "--gen-subset", "valid"])
    checks.equal("perplexity of the file, against the trainer's", events[-1]["ppl"], done["valid_ppl"], 1e-6)
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
