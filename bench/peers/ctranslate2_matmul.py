"""CTranslate2's int8 products. It runs whole models only, so the time is that of a decoder whose layers hold six square
matrices each (queries, keys and values; output; two of the feed-forward network), divided by their number: what little its
attention of one position and its layer norms take is in it. A peer of matvec_vs_torch.py for square shapes; needs ctranslate2."""
import tempfile
import warnings

import numpy

import matvec_vs_torch as peers

MATRICES_OF_A_LAYER = 6
VOCABULARY = ["<unk>", "<s>", "</s>", "a", "b", "c", "d", "e"]


class CTranslate2:
    def __init__(self, kind, rows, cols, n, memory, threads):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a dependency of its converters
            import ctranslate2

        if rows != cols or kind != "int8":
            raise ValueError(f"ct2-{kind}: {rows}x{cols} found, expected ct2-int8 and a square shape")
        self.version = f"ctranslate2 {ctranslate2.__version__}"
        self.bytes = rows * cols
        layers = -(-peers.count_for(self.bytes, memory) // MATRICES_OF_A_LAYER)
        self.matrices = layers * MATRICES_OF_A_LAYER
        self.tokens = [["a"] * n]
        with tempfile.TemporaryDirectory() as folder:
            self.write_model(ctranslate2.specs, cols, layers, folder)
            self.model = ctranslate2.Generator(folder, device="cpu", compute_type="int8", intra_threads=threads)

    @staticmethod
    def write_model(specs, dim, layers, folder):
        random = numpy.random.default_rng(1)
        square = random.standard_normal((dim, dim), dtype=numpy.float32) * 0.02
        merged, ones, zeros = numpy.concatenate([square] * 3), numpy.ones(dim, numpy.float32), numpy.zeros(dim, numpy.float32)
        spec = specs.TransformerDecoderModelSpec.from_config(layers, dim // 128, pre_norm=True)
        decoder = spec.decoder
        decoder.scale_embeddings = False
        decoder.embeddings.weight = random.standard_normal((len(VOCABULARY), dim), dtype=numpy.float32)
        decoder.projection.weight = decoder.embeddings.weight
        decoder.position_encodings.encodings = numpy.zeros((1024, dim), numpy.float32)
        decoder.layer_norm.gamma, decoder.layer_norm.beta = ones, zeros
        for layer in decoder.layer:
            for norm in (layer.self_attention.layer_norm, layer.ffn.layer_norm):
                norm.gamma, norm.beta = ones, zeros
            for linear, weight in ((layer.self_attention.linear[0], merged), (layer.self_attention.linear[1], square),
                                   (layer.ffn.linear_0, square), (layer.ffn.linear_1, square)):
                linear.weight, linear.bias = weight, numpy.zeros(len(weight), numpy.float32)
        spec.register_vocabulary(VOCABULARY)
        spec.validate()
        spec.optimize(quantization="int8")
        spec.save(folder)

    def run(self):
        return [t / self.matrices for t in peers.timed([lambda: self.model.forward_batch(self.tokens)])]
