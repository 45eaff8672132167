#!/usr/bin/env bash
# Runs the command lines of the documentation: every ```sh block behind a line `<!-- tested -->`, in order, in a scratch
# folder with a small text. Training is made short by options added to the end: of a repeated option the last one counts.
# Nothing is added that a command needs to run at all (the size of a batch): a line that lacks it fails here, too.
#   scripts/check_docs.sh FOLDER_WITH_QN [FILE...]
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
binaries="$(cd "${1:?usage: scripts/check_docs.sh FOLDER_WITH_QN [FILE...]}" && pwd)"
shift
files=("$@")
[[ ${#files[@]} -gt 0 ]] || files=("$root/README.md" "$root/docs/language-model.md" "$root/docs/scalar.md")

tested_blocks() {
  awk '/^<!-- tested -->$/ { armed = 1; next }
       armed && /^```sh$/ { inside = 1; armed = 0; next }
       inside && /^```$/ { inside = 0; next }
       inside { print; next }
       NF { armed = 0 }' "$1"
}

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

for file in "${files[@]}"; do
  folder="$scratch/$(basename "$file" .md)"
  mkdir -p "$folder/text" "$folder/build/release/bin"
  ln -s "$root/recipes" "$folder/recipes"
  for split in train valid test; do
    awk -v split_name="$split" 'BEGIN {
      srand(length(split_name)); n = split("the light of day and night was over water said let there be earth in beginning", w, " ")
      for (line = 0; line < 200; ++line) {
        text = "In the beginning"
        for (i = 0; i < 8; ++i) text = text " " w[int(rand() * n) + 1]
        print text "."
      }
    }' >"$folder/text/$split.txt"
    cp "$folder/text/$split.txt" "$folder/$split.txt"
  done
  cat >"$folder/build/release/bin/qn" <<SHIM
#!/usr/bin/env bash
small=(--decoder-layers 1 --decoder-embed-dim 32 --decoder-ffn-embed-dim 64 --decoder-attention-heads 2
  --tokens-per-sample 32 --max-update 6 --warmup-updates 2 --lr-period-updates 4)
restored=(--tokens-per-sample 32 --max-update 6)
case "\$1:\$*" in
  train:*--dump-config*) ;;
  train:*--restore-file*) set -- "\$@" "\${restored[@]}" ;;
  train:*) set -- "\$@" "\${small[@]}" ;;
esac
exec "$binaries/qn" "\$@"
SHIM
  chmod +x "$folder/build/release/bin/qn"
  tested_blocks "$file" >"$scratch/commands.sh"
  lines="$(grep -c . "$scratch/commands.sh" || true)"
  if [[ "$lines" -eq 0 ]]; then
    echo "check_docs: $file has no tested block" >&2
    exit 1
  fi
  if ! (cd "$folder" && PATH="$folder/build/release/bin:$PATH" bash -euo pipefail -x "$scratch/commands.sh") \
      >"$scratch/log" 2>&1; then
    tail -n 40 "$scratch/log" >&2
    echo "check_docs: a command line of $file failed" >&2
    exit 1
  fi
  echo "check_docs: $lines lines of $(basename "$file") run"
done
