"""Runs the language-model experiment of `make demo` and `make quality-lm` through the command `qn`: train without and
with noise, compress by stages, evaluate every file. Standard library only."""
import json
import math
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QN = os.environ.get("QN", os.path.join(ROOT, "build", "release", "bin", "qn"))
STAGES = 3

# One place for every choice of the experiment; both sides share all of it but the noise.
NOISE = ["--quant-noise-pq", "0.1", "--quant-noise-pq-embeddings", "0.05", "--quant-noise-pq-block-size", "8"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(arguments, capture=False, log=None):
    """Runs qn; its progress goes to the terminal or into the open file `log`, its results are returned when asked for."""
    command = [QN] + [str(a) for a in arguments]
    print("$ qn " + " ".join(command[1:]), file=log or sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE if capture else log or sys.stderr, stderr=log, text=True)
    if done.returncode != 0:
        sys.exit(f"error: qn {command[1]} failed with exit code {done.returncode}" + (f", see {log.name}" if log else ""))
    return done.stdout


def evaluate(data, path, subset, log=None, options=()):
    """{"ppl", "bytes"} of a model file."""
    output = run(["eval-lm", data, "--path", path, "--gen-subset", subset, "--log-format", "json", *options], capture=True, log=log)
    return {"ppl": json.loads(output.splitlines()[-1])["ppl"], "bytes": os.path.getsize(path)}


def preprocess(text_folder, data_folder):
    if os.path.exists(os.path.join(data_folder, "test.bin")):
        return
    run(["preprocess", "--only-source", "--tokenizer", "words", "--thresholdsrc", "3", "--workers", "2",
         "--trainpref", os.path.join(text_folder, "train.txt"), "--validpref", os.path.join(text_folder, "valid.txt"),
         "--testpref", os.path.join(text_folder, "test.txt"), "--destdir", data_folder])


def train_and_compress(data, folder, train_recipe, finetune_recipe, ipq_config, noise_options, seed, subset="test"):
    """One side of the experiment. Returns {"dense": …, "ipq_untuned": …, "ipq": …}, each {"ppl", "bytes"}."""
    dense_folder, ipq_folder = os.path.join(folder, "dense"), os.path.join(folder, "ipq")
    dense, untuned, ipq = (os.path.join(dense_folder, "model.qn"), os.path.join(folder, "ipq_untuned.qn"),
                           os.path.join(ipq_folder, "model.qn"))
    run(["train", data, "--config", train_recipe, "--seed", seed, "--save-dir", dense_folder] + noise_options)
    run(["quantize", dense, "--config", ipq_config, "-o", untuned, "--seed", seed])
    run(["train", data, "--config", finetune_recipe, "--seed", seed, "--save-dir", ipq_folder, "--restore-file", dense,
         "--quantization-config-path", ipq_config] + noise_options)
    return {"dense": evaluate(data, dense, subset), "ipq_untuned": evaluate(data, untuned, subset),
            "ipq": evaluate(data, ipq, subset)}


def kneser_ney(data, subset="test"):
    """Perplexity of an interpolated Kneser-Ney 3-gram on the same tokens."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "kneser_ney.py"), data, "--subset", subset, "--json"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["ppl"]


def remembered(folder, name, compute):
    """What `compute` returns, from folder/name.json when it is there: an interrupted experiment goes on where it stopped."""
    path = os.path.join(folder, name + ".json")
    if not os.path.exists(path):
        result = compute()
        os.makedirs(folder, exist_ok=True)
        with open(path + ".part", "w", encoding="utf-8") as output:
            json.dump(result, output, indent=1)
        os.replace(path + ".part", path)
    with open(path, encoding="utf-8") as stored:
        return json.load(stored)


def mean(values):
    return sum(values) / len(values)


def spread(values):
    """Sample standard deviation."""
    center = mean(values)
    return math.sqrt(sum((v - center) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def mean_and_spread(values):
    """"51.29 ± 0.34"; of a single value that alone."""
    return f"{mean(values):.2f}" + (f" ± {spread(values):.2f}" if len(values) > 1 else "")


class Stopwatch:
    def __init__(self):
        self.start = time.monotonic()

    def seconds(self):
        return time.monotonic() - self.start
