#!/usr/bin/env python3
"""k-means of this project against faiss and against fairseq's EM, on the same data in one run.

  python bench/kmeans_vs_faiss.py --bench build/release/bin/kmeans_bench [--threads 1,2] [--repeats 5] [--json OUT]

Needs numpy and faiss-cpu; fairseq's EM needs torch and is left out without it (--em-python names another
interpreter that has torch). Ours and faiss run by turns, with the same number of threads, on the same file of raw
fp32 values; faiss without subsampling. Both run all their iterations over all blocks; ours ends with one more
assignment, and finds its first centroids on a sample (--sample-iterations 0 starts from random blocks as faiss does).
fairseq's EM is written again here in plain PyTorch as its documentation of the algorithm goes: distances by broadcast in chunks,
then one Python loop over the centroids. Its steps take the same time in every iteration, so one is timed and multiplied.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def em_iteration_seconds(path, num_blocks, block_size, num_centroids, threads):
    """Seconds of one EM iteration over all blocks."""
    import numpy
    import torch

    torch.set_num_threads(threads)
    values = numpy.fromfile(path, dtype=numpy.float32).reshape(num_blocks, block_size)
    weight = torch.from_numpy(values).t().contiguous()  # (block_size, num_blocks)
    centroids = weight[:, torch.randperm(num_blocks, generator=torch.Generator().manual_seed(1))[:num_centroids]].t()
    chunks = 16  # memory for the broadcast differences: what the reference arrives at by doubling
    start = time.perf_counter()
    distances = torch.cat(
        [(part[None, :, :] - centroids[:, :, None]).norm(p=2, dim=1) for part in weight.chunk(chunks, dim=1)], dim=1
    )
    codes = distances.argmin(dim=0)
    for k in range(num_centroids):
        members = weight[:, codes == k]
        if members.shape[1] > 0:
            centroids[k] = members.mean(dim=1)
    torch.norm(centroids[codes].t() - weight)
    return time.perf_counter() - start


def run_em(args, path, threads):
    """The iteration's seconds, measured in a process that has torch; None without one."""
    command = [args.em_python, os.path.abspath(__file__), "--em-worker", path, "--threads", str(threads)]
    command += ["--blocks", str(args.blocks), "--block-size", str(args.block_size)]
    command += ["--centroids", str(args.centroids)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"fairseq's EM left out: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return float(done.stdout)


def run_ours(args, path, threads, seed):
    command = [args.bench, "--data", path, "--threads", str(threads), "--seed", str(seed), "--repeats", "1"]
    command += ["--blocks", str(args.blocks), "--block-size", str(args.block_size)]
    command += ["--centroids", str(args.centroids), "--iterations", str(args.iterations)]
    command += ["--sample-iterations", str(args.sample_iterations)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["seconds"][0], result["objective"]


def run_faiss(args, values, threads, seed):
    import faiss
    import numpy

    faiss.omp_set_num_threads(threads)
    kmeans = faiss.Kmeans(
        args.block_size, args.centroids, niter=args.iterations, seed=seed,
        min_points_per_centroid=1, max_points_per_centroid=10**9,
    )
    start = time.perf_counter()
    kmeans.train(values)
    seconds = time.perf_counter() - start
    # What its last centroids give, in double precision: its own figure is of the centroids before.
    _, codes = kmeans.index.search(values, 1)
    differences = values.astype(numpy.float64) - kmeans.centroids[codes[:, 0]]
    return seconds, float((differences**2).sum())


def compare(args, values, path, threads):
    ours, theirs = [], []
    for repeat in range(args.repeats):
        ours.append(run_ours(args, path, threads, repeat + 1))
        theirs.append(run_faiss(args, values, threads, repeat + 1))
    row = {
        "threads": threads,
        "ours_seconds": statistics.median(seconds for seconds, _ in ours),
        "faiss_seconds": statistics.median(seconds for seconds, _ in theirs),
        "ours_sse": statistics.mean(sse for _, sse in ours),
        "faiss_sse": statistics.mean(sse for _, sse in theirs),
        "worst_ours_sse": max(sse for _, sse in ours),
        "best_faiss_sse": min(sse for _, sse in theirs),
    }
    row["speedup"] = row["faiss_seconds"] / row["ours_seconds"]
    iteration = None if args.no_em else run_em(args, path, threads)
    if iteration is not None:
        row["em_seconds"] = iteration * args.iterations
        row["em_speedup"] = row["em_seconds"] / row["ours_seconds"]
    return row


def print_table(args, rows):
    print(f"{args.blocks:,} blocks of {args.block_size}, {args.centroids} centroids, {args.iterations} iterations, "
          f"median of {args.repeats}")
    print(f"{'threads':>7}  {'ours':>8}  {'faiss':>8}  {'speedup':>7}  {'ours SSE':>12}  {'faiss SSE':>12}  "
          f"{'EM':>8}  {'speedup':>7}")
    for row in rows:
        em = f"{row['em_seconds']:7.1f}s  {row['em_speedup']:6.0f}x" if "em_seconds" in row else "       -        -"
        print(f"{row['threads']:>7}  {row['ours_seconds']:7.4f}s  {row['faiss_seconds']:7.4f}s  "
              f"{row['speedup']:6.2f}x  {row['ours_sse']:12.1f}  {row['faiss_sse']:12.1f}  {em}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bin/kmeans_bench")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=524288)
    parser.add_argument("--block-size", type=int, default=8)
    parser.add_argument("--centroids", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--sample-iterations", type=int, default=10)
    parser.add_argument("--no-em", action="store_true", help="leave fairseq's EM out")
    parser.add_argument("--em-python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--em-worker", help=argparse.SUPPRESS)
    parser.add_argument("--json", help="write the results to this file as well")
    args = parser.parse_args()
    if args.em_worker:
        print(em_iteration_seconds(args.em_worker, args.blocks, args.block_size, args.centroids, int(args.threads)))
        return

    import faiss
    import numpy

    values = numpy.random.default_rng(0).standard_normal((args.blocks, args.block_size)).astype(numpy.float32)
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        values.tofile(file.name)
        rows = [compare(args, values, file.name, int(threads)) for threads in args.threads.split(",")]
    print_table(args, rows)
    if args.json:
        result = {"faiss": faiss.__version__, "blocks": args.blocks, "block_size": args.block_size,
                  "centroids": args.centroids, "iterations": args.iterations, "results": rows}
        with open(args.json, "w") as out:
            json.dump(result, out, indent=2)


if __name__ == "__main__":
    main()
