"""The demo's text is cleaned and split as scripts/demo_text says, on a small imitation of diatheke's output."""
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "demo_text"

HEAD = """Genesis 1:1: In the beginning, God [1:1 A note with \u201ca quotation\u201d [and another].] created the heavens.
Genesis 1:2: The earth was  formless, <w>and</w> empty.\u00b6
Genesis 1:3: \u201cYou are cursed,
and above every animal. [] \u201d

"""
# A psalm's heading is printed before every verse, and at empty verses with its tags.
PSALM = """
A Psalm by David.
  Psalms 3:1: Yahweh, how my adversaries
have increased!He said so.

A Psalm by David.
  Psalms 3:2: many [of them] rise up.
<title canonical="true">A Psalm by David.</title> <lg sID="a"/>Psalms 3:3:
A Psalm by David.
  Psalms 3:4: Amen.


   The following words are a glossary.
(engWEB2015eb)
"""


def chapters(count):
    return "".join(f"Exodus {number}:1: Chapter number {'x' * number}.\n" for number in range(1, count + 1))


def main():
    with tempfile.TemporaryDirectory() as folder:
        raw = pathlib.Path(folder) / "raw.txt"
        raw.write_text(HEAD + chapters(40) + PSALM, encoding="utf-8")
        done = subprocess.run([SCRIPT, "--input", raw, "--out", folder], capture_output=True, text=True, check=True)
        splits = {name: (pathlib.Path(folder) / f"{name}.txt").read_text(encoding="utf-8").splitlines()
                  for name in ("train", "valid", "test")}
        assert splits["train"][:3] == ["In the beginning, God created the heavens.", "The earth was formless, and empty.",
                                       "\u201cYou are cursed, and above every animal.\u201d"], splits["train"][:3]
        assert splits["train"][-3:] == ["Yahweh, how my adversaries have increased! He said so.", "many of them rise up.",
                                        "Amen."], splits["train"][-3:]
        # Genesis 1 is chapter 0, so Exodus n is chapter n.
        assert [len(line.split()[-1]) - 1 for line in splits["valid"]] == [9, 29], splits["valid"]
        assert [len(line.split()[-1]) - 1 for line in splits["test"]] == [19, 39], splits["test"]
        assert "train.txt: 42 lines" in done.stdout, done.stdout

        raw.write_text("nothing of the kind\n", encoding="utf-8")
        done = subprocess.run([SCRIPT, "--input", raw, "--out", folder], capture_output=True, text=True)
        assert done.returncode == 1 and "no verses found" in done.stderr, done


if __name__ == "__main__":
    sys.exit(main())
