#!/usr/bin/env python3
"""Weights times activations on a CPU: the packed formats of quantnoise beside what else one could take, in one run.

  python3 bench/peers/matvec_vs_torch.py [--bench build/release/bin/matvec_bench] [--formats pq-8-256,pq-4-256,int8,int4]
      [--peers torch-fp32,ort-int4,…] [--python PYTHON] [--llama BUILD] [--shapes 4096x4096,…]
      [--rows 1] [--threads 1,2] [--memory 256] [--rounds 5] [--json FILE]

Every program is a process of its own that keeps its matrices and answers when asked; the script asks one after the other,
round by round, so that all see the same machine. Matrices are taken in turn, at least --memory MiB of each kind (0: one
matrix, which stays in the cache if it fits). Times are microseconds of one product, input quantization and table building
included; of each round the median of its calls, of all rounds the median.

Peers need numpy and torch; onnxruntime, onnx (ort-…) aqlm, numba (aqlm-1x8) or ctranslate2 (ct2-int8) in the Python named by --python (this one by default). --llama names a
folder with libggml.so, libggml-base.so and libggml-cpu.so, built from a llama.cpp checkout; it adds llama-q8_0, llama-q4_0,
llama-q4_k, llama-q2_k and llama-iq2_xxs.

  torch-fp32, torch-bf16   torch.nn.functional.linear
  torch-int8               torch.ao dynamic quantization: int8 weights by channel, activations on the fly (threads: all or one)
  ort-int8                 DynamicQuantizeLinear and MatMulInteger, as onnxruntime.quantization.quantize_dynamic writes them
  ort-int4, ort-int2       MatMulNBits with groups of 128, accuracy level 4 (int8 activations inside), the fastest
  aqlm-1x8                 AQLM's look-up kernel for CPUs on the codes of pq-8-256
  ct2-int8                 CTranslate2 with int8 weights: a share of a whole model (square shapes only)
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORMATS = "pq-8-256,pq-4-256,int8,int4"
PEERS = "torch-fp32,torch-bf16,torch-int8,ort-int8,ort-int4,ort-int2,aqlm-1x8,ct2-int8"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=str(ROOT / "build/release/bin/matvec_bench"))
    parser.add_argument("--formats", default=FORMATS)
    parser.add_argument("--arithmetics", default="precise,fast")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--llama")
    parser.add_argument("--shapes", default="4096x4096,1024x4096,14336x4096")
    parser.add_argument("--rows", type=int, default=1, help="rows of the activations")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- a peer: a process that answers "run" with the microseconds of its calls --------------------------------------------


def count_for(matrix_bytes, memory_mib):
    return max(1, -(-(memory_mib << 20) // matrix_bytes)) if memory_mib else 1


def timed(calls):
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e6)
    return times


class Torch:
    def __init__(self, kind, rows, cols, n, memory, threads):
        import torch

        self.torch, self.version = torch, f"torch {torch.__version__}"
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        type_ = torch.bfloat16 if kind == "bf16" else torch.float32
        self.x = torch.randn(n, cols).to(type_)
        self.bytes = rows * cols * {"fp32": 4, "bf16": 2, "int8": 1}[kind]
        first = torch.randn(rows, cols).to(type_)
        if kind == "int8":
            layers = [self.int8_layer(first) for _ in range(count_for(self.bytes, memory))]
            self.calls = [lambda layer=layer: layer(self.x) for layer in layers]
        else:
            weights = [first.clone() for _ in range(count_for(self.bytes, memory))]
            self.calls = [lambda w=w: torch.nn.functional.linear(self.x, w) for w in weights]

    def int8_layer(self, weight):
        torch = self.torch
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight = torch.nn.Parameter(weight.clone())
        layer.qconfig = torch.ao.quantization.per_channel_dynamic_qconfig
        return torch.ao.nn.quantized.dynamic.Linear.from_float(layer)

    def run(self):
        with self.torch.inference_mode():
            return timed(self.calls)


class OnnxRuntime:
    """All matrices in one graph with one input, so that the cost of calling the session is spread over them."""

    def __init__(self, kind, rows, cols, n, memory, threads):
        import numpy
        import onnx
        import onnxruntime

        self.version = f"onnxruntime {onnxruntime.__version__}"
        onnxruntime.set_default_logger_severity(4)
        random = numpy.random.default_rng(1)
        bits = int(kind[3:])
        self.bytes = rows * cols * bits // 8
        self.count = count_for(self.bytes, memory)
        make = self.int8_node if bits == 8 else self.few_bits_node
        nodes, tensors, outputs = [], [], []
        if bits == 8:
            nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]))
        for i in range(self.count):
            make(onnx, numpy, random, i, rows, cols, bits, nodes, tensors)
            outputs.append(onnx.helper.make_tensor_value_info(f"y{i}", onnx.TensorProto.FLOAT, [n, rows]))
        graph = onnx.helper.make_graph(
            nodes, "g", [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [n, cols])], outputs, tensors)
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.x = {"x": random.standard_normal((n, cols), dtype=numpy.float32)}

    @staticmethod
    def int8_node(onnx, numpy, random, i, rows, cols, bits, nodes, tensors):
        weight = random.integers(-127, 128, (cols, rows), dtype=numpy.int8)
        tensors.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        tensors.append(onnx.numpy_helper.from_array(numpy.full(rows, 0.01, numpy.float32), f"s{i}"))
        tensors.append(onnx.numpy_helper.from_array(numpy.zeros(rows, numpy.int8), f"z{i}"))
        node = onnx.helper.make_node
        nodes.append(node("MatMulInteger", ["xq", f"w{i}", "xz", f"z{i}"], [f"a{i}"]))
        nodes.append(node("Cast", [f"a{i}"], [f"f{i}"], to=onnx.TensorProto.FLOAT))
        nodes.append(node("Mul", ["xs", f"s{i}"], [f"t{i}"]))
        nodes.append(node("Mul", [f"f{i}", f"t{i}"], [f"y{i}"]))

    @staticmethod
    def few_bits_node(onnx, numpy, random, i, rows, cols, bits, nodes, tensors):
        group = 128
        codes = random.integers(0, 256, (rows, cols // group, group * bits // 8), dtype=numpy.uint8)
        scales = numpy.full(rows * cols // group, 0.01, numpy.float32)
        tensors.append(onnx.numpy_helper.from_array(codes, f"w{i}"))
        tensors.append(onnx.numpy_helper.from_array(scales, f"s{i}"))
        nodes.append(onnx.helper.make_node("MatMulNBits", ["x", f"w{i}", f"s{i}"], [f"y{i}"], domain="com.microsoft",
                                           K=cols, N=rows, bits=bits, block_size=group, accuracy_level=4))

    def run(self):
        repeats = max(1, 8 // self.count)
        whole = timed([lambda: self.session.run(None, self.x)] * repeats)
        return [t / self.count for t in whole]


def peer_of(name, shape, n, memory, threads, llama):
    rows, cols = (int(v) for v in shape.split("x"))
    family, kind = name.split("-", 1)
    if family == "llama":
        import ggml_matmul

        return ggml_matmul.Ggml(llama, kind, rows, cols, n, memory, threads)
    if family == "aqlm":
        import aqlm_matmul

        return aqlm_matmul.Aqlm(kind, rows, cols, n, memory, threads)
    if family == "ct2":
        import ctranslate2_matmul

        return ctranslate2_matmul.CTranslate2(kind, rows, cols, n, memory, threads)
    return {"torch": Torch, "ort": OnnxRuntime}[family](kind, rows, cols, n, memory, threads)


def work(arguments):
    """worker: NAME SHAPE N MEMORY THREADS"""
    name, shape, n, memory, threads = arguments.worker.split()
    peer = peer_of(name, shape, int(n), int(memory), int(threads), arguments.llama)
    peer.run()
    print(json.dumps({"version": peer.version, "weight_bytes": peer.bytes}), flush=True)
    for _ in sys.stdin:
        times = sorted(t for _ in range(2) for t in peer.run())
        print(json.dumps({"median_us": statistics.median(times), "best_us": times[len(times) // 10]}), flush=True)


# --- the one who asks ----------------------------------------------------------------------------------------------------


class Answerer:
    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment, stderr=subprocess.DEVNULL)
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(arguments, bench, shape, threads):
    """(name, arithmetic, question) of our formats"""
    passes = 2 if arguments.memory or arguments.rows > 16 else 50
    for format_ in arguments.formats.split(","):
        for arithmetic in arguments.arithmetics.split(","):
            question = f"{shape} {format_} {arithmetic} {threads} {arguments.rows} {arguments.memory} {passes}"
            yield (f"quantnoise {format_}", arithmetic, bench, question)


def start_peers(arguments, shape, threads):
    names = [name for name in arguments.peers.split(",") if name]
    if arguments.llama:
        names += ["llama-q8_0", "llama-q4_0", "llama-q4_k", "llama-q2_k", "llama-iq2_xxs"]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), NUMBA_NUM_THREADS=str(threads))
    for name in names:
        worker = f"{name} {shape} {arguments.rows} {arguments.memory} {threads}"
        command = [arguments.python, __file__, "--worker", worker]
        peer = Answerer(command + (["--llama", arguments.llama] if arguments.llama else []), environment)
        if peer.first is None:
            print(f"{name}: does not run here", file=sys.stderr)
            continue
        yield (f"{name} ({peer.first['version']})", "", peer, "run")


def measure(arguments, bench, shape, threads):
    peers = list(start_peers(arguments, shape, threads))
    runners = peers + list(ours(arguments, bench, shape, threads))
    answers = {}
    for round_ in range(arguments.rounds + 1):  # the first one makes the matrices
        for name, arithmetic, answerer, question in runners:
            if threads > 1:
                answerer.ask(question)  # until its own threads are awake, and those of the program before asleep
            answer = answerer.ask(question)
            if answer is None:
                sys.exit(f"{name} stopped")
            if round_:
                answers.setdefault((name, arithmetic), []).append(answer)
    for _, _, answerer, _ in peers:
        answerer.close()
    results = []
    for (name, arithmetic), rounds in answers.items():
        result = {"name": name, "arithmetic": arithmetic, "shape": shape, "threads": threads, "rows": arguments.rows,
                  "us": statistics.median(r["median_us"] for r in rounds), "kernel": rounds[0].get("kernel", "")}
        results.append(result)
    return results


def print_table(results):
    base = next((r["us"] for r in results if r["name"].startswith("torch-fp32")), None)
    first = results[0]
    print(f"\n{first['shape']}, {first['rows']} row(s), {first['threads']} thread(s)")
    print(f"| {'what':40} | {'arithmetic':10} | {'µs':>9} | against torch fp32 | kernel")
    print(f"|{'-' * 42}|{'-' * 12}|{'-' * 10}:|{'-' * 19}:|---")
    for r in results:
        ratio = f"{base / r['us']:.1f} x" if base else ""
        print(f"| {r['name']:40} | {r['arithmetic']:10} | {r['us']:9.1f} | {ratio:>18} | {r['kernel']}", flush=True)


def main():
    arguments = parse_arguments()
    if arguments.worker:
        return work(arguments)
    bench = Answerer([arguments.bench, "--serve"])
    if bench.first is None:
        sys.exit(f"{arguments.bench} does not run; build it, or name it with --bench")
    where = "from memory" if arguments.memory else "one matrix, again and again"
    print(f"{bench.first['machine']}; {platform.system()}; {where}; medians of {arguments.rounds} rounds")
    results = []
    for threads in arguments.threads.split(","):
        for shape in arguments.shapes.split(","):
            some = measure(arguments, bench, shape, int(threads))
            print_table(some)
            results += some
    bench.close()
    if arguments.json:
        document = {"machine": bench.first["machine"], "memory_mib": arguments.memory, "results": results}
        pathlib.Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
