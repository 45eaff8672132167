#!/usr/bin/env bash
# Installs the runtime outside the source tree, moves it, and builds and runs examples/runtime against it: with the CMake
# package and with pkg-config.
#   install_test.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_dir="$1"
build_dir="$2"

dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
fail() { echo "install_test: $*" >&2; exit 1; }

cmake --install "$build_dir" --component runtime --prefix "$dir/first" >"$dir/install.log"
mv "$dir/first" "$dir/prefix"
cp -r "$source_dir/examples/runtime" "$dir/consumer"
library="$(find "$dir/prefix" -name 'libquantnoise-runtime.so')"
[[ -n "$library" ]] || fail "no shared library was installed"

echo "== what the shared library shows and needs"
exported="$(nm -D --defined-only "$library" | awk '$2 != "A" {print $3}')"
grep -q '^qn_model_open$' <<<"$exported" || fail "qn_model_open is not exported"
! grep -v '^qn_' <<<"$exported" || fail "the symbols above are exported, too"
ldd "$library" | awk '{print $1}' | grep -vE '^(linux-vdso|/lib.*/ld-linux|/lib64/ld-linux|lib(c|m|stdc\+\+|gcc_s|pthread)\.so)' &&
  fail "the libraries above are needed, too"
! nm -D --undefined-only -C "$library" | grep -E '\b(torch|at|c10)::' || fail "symbols of torch are needed"

echo "== CMake package"
cmake -S "$dir/consumer" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_BUILD_TYPE=Release >"$dir/configure.log" ||
  { cat "$dir/configure.log"; fail "the consumer does not configure"; }
cmake --build "$dir/build"
"$dir/build/tiny_model" "$dir/tiny.qn"
"$dir/build/generate" "$dir/tiny.qn" "the day" >"$dir/generated"
cat "$dir/generated"
"$dir/build/score" "$dir/tiny.qn" "the day and the night"

echo "== a component that is not there"
sed -i 's/COMPONENTS runtime/COMPONENTS runtime train/' "$dir/consumer/CMakeLists.txt"
! cmake -S "$dir/consumer" -B "$dir/build2" -DCMAKE_PREFIX_PATH="$dir/prefix" >"$dir/missing.log" 2>&1 ||
  fail "an unknown component was found"
grep -q "no component 'train'" "$dir/missing.log" || { cat "$dir/missing.log"; fail "the message does not name the component"; }

echo "== pkg-config"
if ! command -v pkg-config >/dev/null; then
  echo "install_test: pkg-config is not installed: this part is left out"
  exit 0
fi
PKG_CONFIG_PATH="$(dirname "$(find "$dir/prefix" -name quantnoise-runtime.pc)")"
export PKG_CONFIG_PATH
read -ra flags <<<"$(pkg-config --cflags --libs quantnoise-runtime)"
cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$dir/consumer/generate.c" -o "$dir/generate" "${flags[@]}"
LD_LIBRARY_PATH="$(dirname "$library")" "$dir/generate" "$dir/tiny.qn" "the day" | cmp - "$dir/generated"
read -ra flags <<<"$(pkg-config --static --cflags --libs quantnoise-runtime | sed 's/-lquantnoise-runtime/-l:libquantnoise-runtime.a/')"
cc -std=c11 "$dir/consumer/generate.c" -o "$dir/generate_static" "${flags[@]}"
"$dir/generate_static" "$dir/tiny.qn" "the day" | cmp - "$dir/generated"
echo "install_test: all parts passed"
