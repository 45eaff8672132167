"""Matrix products of a llama.cpp build (libggml-base.so, libggml-cpu.so) for matvec_vs_torch.py, through ctypes.

Weights go into ggml's "CPU_REPACK" buffer where it takes the type and shape, as llama.cpp does when it loads a model.
"""
import ctypes
import pathlib
import time

TYPES = {"q8_0": 8, "q4_0": 2, "q4_k": 12, "q2_k": 10, "iq2_xxs": 16}
TYPE_F32 = 0


class InitParameters(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class Ggml:
    def __init__(self, folder, kind, rows, cols, n, memory_mib, threads):
        self.base, self.cpu = self.load(folder)
        self.version = "llama.cpp"
        self.threads = threads
        pointer = ctypes.c_void_p
        self.declare("ggml_init", pointer, InitParameters)
        self.declare("ggml_new_tensor_2d", pointer, pointer, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        self.declare("ggml_mul_mat", pointer, pointer, pointer, pointer)
        self.declare("ggml_new_graph", pointer, pointer)
        self.declare("ggml_build_forward_expand", None, pointer, pointer)
        self.declare("ggml_nbytes", ctypes.c_size_t, pointer)
        self.declare("ggml_row_size", ctypes.c_size_t, ctypes.c_int, ctypes.c_int64)
        self.declare("ggml_quantize_chunk", ctypes.c_size_t, ctypes.c_int, pointer, pointer, ctypes.c_int64,
                     ctypes.c_int64, ctypes.c_int64, pointer)
        self.declare("ggml_backend_alloc_ctx_tensors_from_buft", pointer, pointer, pointer)
        self.declare("ggml_backend_tensor_set", None, pointer, pointer, ctypes.c_size_t, ctypes.c_size_t)
        self.declare("ggml_backend_graph_compute", ctypes.c_int, pointer, pointer)
        self.declare("ggml_backend_cpu_init", pointer)
        self.declare("ggml_backend_cpu_set_n_threads", None, pointer, ctypes.c_int)
        self.declare("ggml_backend_cpu_buffer_type", pointer)
        self.backend = self.ggml_backend_cpu_init()
        self.ggml_backend_cpu_set_n_threads(self.backend, threads)
        self.bytes = self.ggml_row_size(TYPES[kind], cols) * rows
        self.make_graphs(kind, rows, cols, n, max(1, -(-(memory_mib << 20) // self.bytes)) if memory_mib else 1)

    @staticmethod
    def load(folder):
        found = {}
        for name in ("libggml-base.so", "libggml-cpu.so"):
            paths = sorted(pathlib.Path(folder).rglob(name))
            if not paths:
                raise SystemExit(f"--llama {folder}: found no {name}")
            found[name] = ctypes.CDLL(str(paths[0]), mode=ctypes.RTLD_GLOBAL)
        return found["libggml-base.so"], found["libggml-cpu.so"]

    def declare(self, name, result, *arguments):
        library = self.base if hasattr(self.base, name) else self.cpu
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
        setattr(self, name, function)

    def repack_buffer_type(self):
        """The C++ function behind llama.cpp's "CPU_REPACK" buffers, or None."""
        for name in ("_Z36ggml_backend_cpu_repack_buffer_typev", "ggml_backend_cpu_repack_buffer_type"):
            if hasattr(self.cpu, name):
                function = getattr(self.cpu, name)
                function.restype = ctypes.c_void_p
                return function()
        return None

    def quantized(self, kind, rows, cols):
        import numpy

        some = min(rows, 64)  # quantizing takes long; they are repeated
        values = numpy.random.default_rng(1).standard_normal((some, cols), dtype=numpy.float32)
        importance = numpy.ones(cols, dtype=numpy.float32)
        data = ctypes.create_string_buffer(self.bytes // rows * some)
        self.ggml_quantize_chunk(TYPES[kind], values.ctypes.data, data, 0, some, cols, importance.ctypes.data)
        return (data.raw * -(-rows // some))[: self.bytes]

    def make_graphs(self, kind, rows, cols, n, count):
        import numpy

        def context(size):
            return self.ggml_init(InitParameters(size, None, True))

        weights = context(1 << 20)
        tensors = [self.ggml_new_tensor_2d(weights, TYPES[kind], cols, rows) for _ in range(count)]
        buffer_type = self.repack_buffer_type() if kind in ("q4_0", "q4_k", "q8_0", "q2_k") else None
        if buffer_type is None or not self.ggml_backend_alloc_ctx_tensors_from_buft(weights, buffer_type):
            self.ggml_backend_alloc_ctx_tensors_from_buft(weights, self.ggml_backend_cpu_buffer_type())
        data = self.quantized(kind, rows, cols)
        for tensor in tensors:
            self.ggml_backend_tensor_set(tensor, data, 0, self.bytes)
        work = context(64 << 20)
        x = self.ggml_new_tensor_2d(work, TYPE_F32, cols, n)
        self.graphs = []
        for tensor in tensors:
            graph = self.ggml_new_graph(work)
            self.ggml_build_forward_expand(graph, self.ggml_mul_mat(work, tensor, x))
            self.graphs.append(graph)
        self.ggml_backend_alloc_ctx_tensors_from_buft(work, self.ggml_backend_cpu_buffer_type())
        values = numpy.random.default_rng(2).standard_normal((n, cols), dtype=numpy.float32)
        self.ggml_backend_tensor_set(x, values.ctypes.data, 0, values.nbytes)

    def run(self):
        times = []
        for graph in self.graphs:
            start = time.perf_counter()
            self.ggml_backend_graph_compute(self.backend, graph)
            times.append((time.perf_counter() - start) * 1e6)
        return times
