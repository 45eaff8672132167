"""AQLM's kernel for CPUs on product codes of 8 bits: one codebook of 256 vectors of 8, the very format pq-8-256. A peer of
matvec_vs_torch.py; needs the package aqlm, with numba. Threads: NUMBA_NUM_THREADS (with several its sums race: right only
for one)."""
import importlib.metadata

import torch

import matvec_vs_torch as peers

GROUP, CENTROIDS = 8, 256


class Aqlm:
    def __init__(self, kind, rows, cols, n, memory, threads):
        from aqlm.inference_kernels.numba_kernel import numba_gemm_lut

        if kind != "1x8":
            raise ValueError(f"aqlm-{kind}: expected aqlm-1x8")
        self.version = f"aqlm {importlib.metadata.version('aqlm')}"
        torch.manual_seed(1)
        torch.set_num_threads(threads)
        codebooks = torch.randn(1, CENTROIDS, 1, GROUP)
        x, scales = torch.randn(n, cols), torch.ones(rows, 1, 1, 1)
        first = torch.randint(0, CENTROIDS, (cols // GROUP, rows, 1), dtype=torch.uint8).view(torch.int8)
        self.bytes = rows * cols // GROUP
        codes = [first.clone() for _ in range(peers.count_for(self.bytes, memory))]
        self.calls = [lambda c=c: numba_gemm_lut(x, c, codebooks, scales, None) for c in codes]
        if threads == 1:
            self.check(self.calls[0](), x, codebooks, first)

    @staticmethod
    def check(y, x, codebooks, codes):
        weight = codebooks[0, codes.view(torch.uint8)[:, :, 0].long(), 0].permute(1, 0, 2).flatten(1)
        if not torch.allclose(y, x @ weight.T, rtol=1e-3, atol=1e-2):
            raise ValueError("aqlm: not the product of the decoded weight")

    def run(self):
        return peers.timed(self.calls)
