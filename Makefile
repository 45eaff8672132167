# Thin names for what people type; the work is in scripts/, CMakePresets.json and the programs themselves.
PRESET ?= release

.PHONY: help setup build test test-extended bench demo golden quality-lm quality-scalar wikitext2 full-size format tidy clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## install what building needs (Debian packages; LibTorch into .venv/)
	scripts/setup

build: setup  ## configure and build (PRESET=release, dev, asan, tsan or runtime-only); programs land in build/<preset>/bin/
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET)

test: setup  ## build and run everything that must hold
	scripts/run_tests

test-extended:  ## fuzzing and emulated processors (installs clang, a cross compiler and qemu)
	scripts/run_extended_tests

# The command alone, with the text the demo reads: tests and benchmarks take as long again to build.
.PHONY: program
program:
	scripts/setup --demo
	cmake --preset release
	cmake --build --preset release --target qn qn-run

demo: program  ## train, compress and compare two small language models on real text, with a table at the end (within 30 minutes)
	scripts/demo_text --out build/demo/text --train-share 7
	python3 scripts/demo.py --text build/demo/text --out build/demo

quality-lm: program  ## three seeds with and without noise, compressed at equal bytes (half an hour with bfloat16, up to 3 hours without)
	scripts/demo_text --out build/demo/text --train-share 5
	python3 scripts/quality_lm.py --text build/demo/text --out build/quality-lm

quality-scalar: program  ## int8 and int4: after training, with noise in training, QAT (SEEDS=3; one seed takes 12 minutes)
	scripts/demo_text --out build/demo/text --train-share 5
	python3 scripts/quality_scalar.py --text build/demo/text --out build/quality-scalar --seeds $(or $(SEEDS),3)

# WikiText-2 comes in no package: TEXT is a folder with its train.txt, valid.txt and test.txt.
wikitext2: program  ## kinds of noise compared on WikiText-2 (TEXT=FOLDER with its three files; five to six hours)
	python3 scripts/wikitext2.py --text $(TEXT) --out build/wikitext2

full-size: program  ## the paper's commands with its 247 million weights, one update each (10 GiB of memory, some 10 minutes)
	scripts/demo_text --out build/demo/text --train-share 7
	scripts/full_size.py --text build/demo/text --out build/full-size

bench: build  ## run the Google Benchmark programs (bench/README.md lists the comparisons with other programs)
	@for program in build/$(PRESET)/bin/*_bench; do echo "== $$program"; $$program || exit 1; done

golden: setup  ## run the independent Python scripts again and compare with the committed values
	scripts/golden

format:  ## clang-format everything
	scripts/format

tidy: build  ## clang-tidy over both wings: names and function sizes as errors
	scripts/tidy $(PRESET)

clean:  ## remove the build folders (not .venv/)
	rm -rf build
