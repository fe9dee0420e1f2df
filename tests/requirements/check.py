#!/usr/bin/env python3
"""Checks that each requirement of the RFCs names tests that exist, or says why it is not ours.

    tests/requirements/check.py              the tests that are named exist
    tests/requirements/check.py --rfc DIR    besides: each sentence with MUST, SHALL, SHOULD, REQUIRED or
                                             RECOMMENDED in DIR/rfc6455.txt (sections 3 to 11) and DIR/rfc7692.txt
                                             (from section 4 on) has its row, and each row is such a sentence
"""

import argparse
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
SECTIONS = {"rfc6455": range(3, 12), "rfc7692": range(4, 10)}
KEYWORD = re.compile(r"\b(MUST|SHALL|SHOULD|REQUIRED|RECOMMENDED)\b")
# A page's foot and the next one's head, with what the text goes on with.
PAGE_BREAK = re.compile(r"\s*\n[^\n]*\[Page \d+\]\s*\f\s*RFC \d+[^\n]*\s*\n( *)(\S+)")
HEADING = re.compile(r"^(\d+(?:\.\d+)*)\. {1,3}\S")


def join_pages(found):
    """A sentence may go on behind a page break; "o" begins an item of a list."""
    goes_on = found[2].islower() and found[2] != "o"
    return ("\n" if goes_on else "\n\n") + found[1] + found[2]


def requirements(path, wanted):
    """The sentences of a text that require something, each with its section."""
    section, paragraphs = None, [""]
    text = PAGE_BREAK.sub(join_pages, path.read_text(encoding="utf-8", errors="replace"))
    for line in [*text.splitlines(), "99. End"]:
        heading = HEADING.match(line)
        if heading and ". . ." not in line and "...." not in line:
            if section and int(section.split(".")[0]) in wanted:
                text = re.sub(r"\n\s*\n", "\n\n", "\n".join(paragraphs))
                for paragraph in text.split("\n\n"):
                    for sentence in re.split(r'(?<=[.:;])\s+(?=[A-Z"])', " ".join(paragraph.split())):
                        if KEYWORD.search(sentence):
                            yield section, sentence
            section, paragraphs = heading[1], []
        else:
            paragraphs.append(line)


def rows(path):
    """Section, sentence and what shows it, of each row of a table."""
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if len(cells) == 3 and cells[0][:1].isdigit():
            yield cells[0], cells[1].replace("\\|", "|"), cells[2]


def tests():
    listed = subprocess.run(
        ["cargo", "test", "--all-features", "--tests", "--", "--list"], check=True, capture_output=True, text=True
    )
    return {line.removesuffix(": test").split("::")[-1] for line in listed.stdout.splitlines() if line.endswith(": test")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rfc", type=pathlib.Path, metavar="DIR", help="where rfc6455.txt and rfc7692.txt are")
    directory = parser.parse_args().rfc

    there, complaints, shown, not_ours = tests(), [], 0, 0
    for name, wanted in SECTIONS.items():
        table = list(rows(HERE / f"{name}.md"))
        for section, sentence, by in table:
            named = re.findall(r"`([a-z0-9_]+)`", by)
            where = f"{name}, section {section}, {sentence[:60]!r}"
            if by.startswith("not ours: "):
                not_ours += 1
                named = [test for test in named if re.match(r"(hostile|rule|section)_", test)]
            elif named:
                shown += 1
            else:
                complaints.append(f"{where}: no test")
            complaints += [f"{where}: there is no test {test}" for test in named if test not in there]
        if directory:
            expected = list(requirements(directory / f"{name}.txt", wanted))
            found = [row[:2] for row in table]
            complaints += [f"{name}, section {row[0]}: no row for {row[1]!r}" for row in expected if row not in found]
            complaints += [f"{name}, section {row[0]}: not in the text: {row[1]!r}" for row in found if row not in expected]
    for complaint in complaints:
        print(f"check.py: {complaint}", file=sys.stderr)
    print(f"requirements: {shown} shown by tests, {not_ours} not ours, {len(complaints)} complaints")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
