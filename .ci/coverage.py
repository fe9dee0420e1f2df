"""Judges what llvm-cov has counted: coverage.py COUNTS EXCLUSIONS (see coverage.sh)."""

import collections
import json
import os
import sys

SHIMS = ("src/blocking/", "src/tokio/", "src/shim.rs")
BOUNDS = {"core": 99.0, "shims": 95.0}  # per cent of outcomes


def branches(path):
    """Each condition's place, and how often it was true and false, over all instances of its function."""
    with open(path, encoding="utf-8") as file:
        exported = json.load(file)
    counted = collections.defaultdict(lambda: [0, 0])
    root = os.getcwd() + "/"
    for function in (function for data in exported["data"] for function in data["functions"]):
        for line, column, end, end_column, true, false, file_id, _, _ in function["branches"]:
            name = function["filenames"][file_id].removeprefix(root)
            if name.startswith("src/"):
                count = counted[name, line, column, end, end_column]
                count[0] += true
                count[1] += false
    return counted


def code(name):
    """The lines of a source, up to its tests: what those do not do is no gap."""
    with open(name, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return lines[: lines.index("mod tests {")] if "mod tests {" in lines else lines


def exclusions(path):
    """Lines of: file | part of the condition's line | which outcome | reason."""
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    return [tuple(part.strip() for part in line.split(" | ", 3)) for line in lines]


def main(counts, excluded):
    excluded, used = exclusions(excluded), set()
    seen, total, missed = collections.Counter(), collections.Counter(), []
    for (name, line, column, _, _), count in sorted(branches(counts).items()):
        part = "shims" if name.startswith(SHIMS) else "core"
        lines = code(name)
        if line > len(lines):
            continue
        text = lines[line - 1]
        for outcome, times in zip(("true", "false"), count):
            entry = next((e for e in excluded if e[0] == name and e[1] in text and e[2] in (outcome, "any")), None)
            if times == 0 and entry:
                used.add(entry)
                continue
            total[part] += 1
            seen[part] += times > 0
            if times == 0:
                missed.append(f"{name}:{line}:{column}: never {outcome}: {text.strip()}")
    print("\n".join(missed))
    failed = False
    for part, bound in BOUNDS.items():
        covered = 100 * seen[part] / total[part]
        print(f"{part}: {seen[part]} of {total[part]} outcomes, {covered:.2f} % (at least {bound} %)")
        failed |= covered < bound
    for entry in set(excluded) - used:
        print(f"coverage.txt: no longer needed: {' | '.join(entry)}")
        failed = True
    print(f"{len(used)} exclusions, each with its reason in coverage.txt")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
