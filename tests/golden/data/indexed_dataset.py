"""Golden bytes of fairseq's binarized data (fairseq/data/indexed_dataset.py): the mmap kind and the older TNTIDX kind.

Usage: indexed_dataset.py [OUTPUT_FOLDER]   writes indexed_dataset.json
"""
import json
import pathlib
import sys

import numpy

CODES = {"uint8": 1, "int16": 3, "int32": 4, "int64": 5, "uint16": 8, "uint32": 9}


def mmap_files(sentences, dtype):
    arrays = [numpy.array(s, dtype=dtype) for s in sentences]
    sizes = numpy.array([a.size for a in arrays], dtype="<i4")
    starts = numpy.concatenate([[0], numpy.cumsum([a.nbytes for a in arrays])[:-1]]).astype("<i8")
    header = b"MMIDIDX\x00\x00" + numpy.uint64(1).tobytes() + bytes([CODES[dtype]]) + numpy.uint64(len(arrays)).tobytes()
    return b"".join(a.tobytes() for a in arrays), header + sizes.tobytes() + starts.tobytes()


def legacy_files(sentences, dtype):
    arrays = [numpy.array(s, dtype=dtype) + 1 for s in sentences]
    arrays = [a.astype(dtype) for a in arrays]
    longs = [CODES[dtype], numpy.dtype(dtype).itemsize, len(arrays), len(arrays)]
    longs += list(range(len(arrays) + 1))
    longs += [0] + [int(n) for n in numpy.cumsum([a.size for a in arrays])]
    longs += [a.size for a in arrays]
    index = b"TNTIDX\x00\x00" + numpy.array([1] + longs, dtype="<i8").tobytes()
    return b"".join(a.tobytes() for a in arrays), index


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    small = [[5, 6, 7, 2], [2], [200, 4, 2], [9, 8, 7, 6, 5, 2]]
    large = small + [[65000, 2], [40000, 3, 2]]
    cases = []
    for kind, files in [("mmap", mmap_files), ("legacy", legacy_files)]:
        for dtype in CODES:
            if kind == "legacy" and dtype.startswith("uint") and dtype != "uint8":
                continue
            sentences = small if dtype in ("uint8", "int16") else large
            data, index = files(sentences, dtype)
            cases.append(dict(kind=kind, code=CODES[dtype], sentences=sentences, bin=data.hex(), idx=index.hex()))
    (folder / "indexed_dataset.json").write_text(json.dumps(dict(cases=cases), indent=1) + "\n")


main()
