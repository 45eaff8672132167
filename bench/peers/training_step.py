#!/usr/bin/env python3
"""A training step of this project against the same step in eager PyTorch, by turns in one run.

  python bench/peers/training_step.py [--bench build/release/bin/training_step] [--type fp32,bf16] [--dropout 0,0.1]
                                      [--adaptive no|yes|both] [--threads 2] [--rounds 10] [--json OUT]

Needs torch and numpy. Model: 6 layers, width 512, vocabulary 32,768, output tied to the embedding or adaptive, 8 x 256
tokens a step, AdamW. First, without dropout: our program writes its initial weights and the batch, PyTorch
loads them, and both must find the same losses over three steps, the first to 1e-5 (fp32) or 1e-3 (bf16) of its value;
what does not is not timed. Then all of PyTorch's variants (torch_language_model.py) try a few steps, and the fastest two
are timed with ours, one step each in every round; the faster one counts. Ratio: PyTorch's seconds by ours, the median over
the rounds.

Both sides are processes with the same number of threads and the same environment. Idle threads sleep instead of spinning, so
that who waits takes nothing from who works.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

TOLERANCE = {"fp32": 1e-5, "bf16": 1e-3}
CHECKED_STEPS = 3
# Rounding moves the weights of one side a little away from the other's with every step.
LATER_FACTOR = 20
MODEL_OPTIONS = ("layers", "dim", "ffn", "vocabulary", "sentences", "tokens")


def environment(args):
    settings = {"OMP_NUM_THREADS": args.threads, "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": 0, "KMP_BLOCKTIME": 0,
                # Freed activations stay with the process for the next step.
                "MALLOC_MMAP_THRESHOLD_": 32 << 20, "MALLOC_TRIM_THRESHOLD_": 1 << 30}
    if args.huge_pages:
        settings["THP_MEM_ALLOC_ENABLE"] = 1
    return os.environ | {name: str(value) for name, value in settings.items()}


class Side:
    """A process that makes one step for one line."""

    def __init__(self, command, args):
        self.command = command
        self.process = subprocess.Popen(command, env=environment(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.greeting = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"error: exit code {self.process.wait()} of: {' '.join(self.command)}")
        return line.strip()

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # read() says what became of the process
        return self.read()

    def step(self, variant=""):
        seconds, loss = self.ask(f"step {variant}".strip()).split()
        return float(seconds), float(loss)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def start_ours(args, config, dropout, dump=None):
    command = [args.bench, "--serve", "--type", config["type"], "--dropout", str(dropout), "--threads", str(args.threads)]
    command += ["--heads", str(args.heads), "--cutoffs", args.cutoffs]
    for name in MODEL_OPTIONS:
        if getattr(args, name) is not None:
            command += [f"--{name}", str(getattr(args, name))]
    command += ["--adaptive"] if config["adaptive"] else []
    side = Side(command + (["--dump", dump] if dump else []), args)
    if side.greeting != "ready":
        sys.exit(f"error: found '{side.greeting}', expected ready: {' '.join(command)}")
    return side


def start_torch(args, config, dropout, file):
    script = pathlib.Path(__file__).with_name("torch_language_model.py")
    command = [args.python, str(script), "--file", file, "--type", config["type"], "--dropout", str(dropout)]
    return Side(command + ["--heads", str(args.heads), "--cutoffs", args.cutoffs, "--threads", str(args.threads)], args)


def difference(a, b):
    return abs(a - b) / abs(a)


def check_losses(args, config, file):
    """Losses without dropout: (ours, {PyTorch's loss variant: relative difference in the first step})."""
    with start_ours(args, config, 0, dump=file) as side:
        ours = [side.step()[1] for _ in range(CHECKED_STEPS)]
    tolerance, agreeing = TOLERANCE[config["type"]], {}
    with start_torch(args, config, 0, file) as side:
        for variant in json.loads(side.greeting)["variants"]:
            side.ask("reset")
            theirs = [side.step(variant)[1] for _ in range(CHECKED_STEPS)]
            differences = [difference(a, b) for a, b in zip(ours, theirs)]
            text = ", ".join(f"{d:.1e}" for d in differences)
            limits = [tolerance] + [LATER_FACTOR * tolerance] * (CHECKED_STEPS - 1)
            if all(d <= limit for d, limit in zip(differences, limits)):  # false for what is not a number
                agreeing[variant.split("/")[1]] = differences[0]
                print(f"  same losses: {variant} ({text})", file=sys.stderr)
            else:
                print(f"  other losses, left out: {variant} ({text})", file=sys.stderr)
    if not agreeing:
        sys.exit("error: no variant of PyTorch's step finds our losses: nothing was timed")
    return ours, agreeing


def trial(args, side, variants):
    """Median seconds of each variant, after one step to warm up."""
    for variant in variants:
        side.step(variant)
    seconds = {variant: [] for variant in variants}
    for _ in range(args.trial):
        for variant in variants:
            seconds[variant].append(side.step(variant)[0])
    return {variant: statistics.median(values) for variant, values in seconds.items()}


def rounds(args, ours, theirs, finalists):
    """Seconds of all rounds: ours, and of each finalist. Who begins changes from round to round."""
    for _ in range(args.warm_up):
        ours.step()
    ours_seconds, torch_seconds = [], {variant: [] for variant in finalists}
    turns = [("", ours_seconds)] + list(torch_seconds.items())
    for number in range(args.rounds):
        shift = number % len(turns)
        for variant, seconds in turns[shift:] + turns[:shift]:
            seconds.append((theirs.step(variant) if variant else ours.step())[0])
    return ours_seconds, torch_seconds


def require_dropout(dropout, first_loss, losses, name):
    """A side that ignored its dropout would still run, only faster."""
    if dropout > 0 and difference(losses[0], first_loss) < 1e-6:
        sys.exit(f"error: {name}: the first loss with dropout {dropout} is the one without")


def compare(args, config, dropout, file, losses, agreeing):
    """Times one configuration whose losses agree."""
    print(f"  timing with dropout {dropout}", file=sys.stderr)
    with start_ours(args, config, dropout) as ours, start_torch(args, config, dropout, file) as theirs:
        versions = json.loads(theirs.greeting)
        variants = [v for v in versions.pop("variants") if v.split("/")[1] in agreeing]
        require_dropout(dropout, ours.step()[1], losses, "ours")
        for variant in variants:
            theirs.ask("reset")
            require_dropout(dropout, theirs.step(variant)[1], losses, variant)
        tried = trial(args, theirs, variants)
        finalists = sorted(variants, key=tried.get)[:2]
        ours_seconds, torch_seconds = rounds(args, ours, theirs, finalists)
    best = min(finalists, key=lambda v: statistics.median(torch_seconds[v]))
    ratio = statistics.median(b / a for a, b in zip(ours_seconds, torch_seconds[best]))
    return config | {"dropout": dropout, "ours_seconds": statistics.median(ours_seconds),
                     "torch_seconds": statistics.median(torch_seconds[best]), "ratio": ratio, "torch_variant": best,
                     "torch_trial_seconds": tried, "loss": losses[0], "loss_difference": agreeing[best.split("/")[1]],
                     "all_ours_seconds": ours_seconds, "all_torch_seconds": torch_seconds, "versions": versions}


def run(args, config):
    """Results of one type and output, for every dropout."""
    print(f"{config['type']}, {'adaptive' if config['adaptive'] else 'tied'}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        file = str(pathlib.Path(folder) / "weights.safetensors")
        losses, agreeing = check_losses(args, config, file)
        return [compare(args, config, float(d), file, losses, agreeing) for d in args.dropout.split(",")]


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_table(rows, args):
    versions = rows[0]["versions"]
    print(f"{processor()}, {os.cpu_count()} CPUs, {args.threads} threads; Python {versions['python']}, "
          f"torch {versions['torch']}; median of {args.rounds} rounds")
    print(f"{'type':<5} {'dropout':>7} {'output':<8} {'ours':>9} {'torch':>9} {'ratio':>6}  torch's fastest")
    for row in rows:
        output = "adaptive" if row["adaptive"] else "tied"
        print(f"{row['type']:<5} {row['dropout']:>7} {output:<8} {row['ours_seconds']:8.3f}s "
              f"{row['torch_seconds']:8.3f}s {row['ratio']:6.2f}  {row['torch_variant']}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bin/training_step")
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--type", default="fp32,bf16")
    parser.add_argument("--dropout", default="0,0.1")
    parser.add_argument("--adaptive", choices=["no", "yes", "both"], default="both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=2, help="steps of ours before the rounds")
    parser.add_argument("--trial", type=int, default=3, help="steps by which the variants of PyTorch are chosen")
    parser.add_argument("--huge-pages", action="store_true", help="THP_MEM_ALLOC_ENABLE=1 for both sides")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--cutoffs", default="8192,16384")
    for name in MODEL_OPTIONS:
        parser.add_argument(f"--{name}", type=int, help="as bin/training_step has it")
    parser.add_argument("--json", help="write the results to this file as well")
    return parser.parse_args()


def main():
    args = parse()
    if not os.access(args.bench, os.X_OK):
        sys.exit(f"error: --bench: there is no program {args.bench}; hint: make build")
    adaptive = {"no": [False], "yes": [True], "both": [False, True]}[args.adaptive]
    rows = [row for a in adaptive for t in args.type.split(",") for row in run(args, {"type": t, "adaptive": a})]
    print_table(rows, args)
    if args.json:
        result = {"processor": processor(), "cpus": os.cpu_count(), "threads": args.threads, "rounds": args.rounds,
                  "huge_pages": args.huge_pages, "results": rows}
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(result, out, indent=1)


if __name__ == "__main__":
    main()
