"""Compares what the Autobahn test suite reported with expected.txt.

    compare.py list [PATTERN...]               prints the cases that match, all without one
    compare.py check CASES_FILE RUN_FOLDER...  compares; the last line is 'N passed, N failed'

A run folder is named ROLE-SHIM. It holds report/index.json, which the suite writes, and
problems.txt, with a line 'CASE what went wrong' for each thing that the suite can't see;
the case is '-' where it concerns the run as a whole. Each of these lines counts as failed.
"""

import fnmatch
import json
import pathlib
import sys

EXPECTED_FILE = pathlib.Path(__file__).with_name("expected.txt")


def read_expected():
    """Maps each case to its expected (behavior, behaviorClose)."""
    expected = {}
    for line in EXPECTED_FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            case, *verdict = line.split()
            expected[case] = tuple(verdict)
    return expected


def select(patterns):
    """The cases that match one of the patterns, in the suite's order."""
    cases = list(read_expected())
    selected = set()
    for pattern in patterns or ["*"]:
        matching = fnmatch.filter(cases, pattern)
        if not matching:
            sys.exit(f"no such case: {pattern}")
        selected.update(matching)
    return [case for case in cases if case in selected]


def read_report(run):
    """Maps each case to the set of verdicts that the suite gave it."""
    verdicts = {}
    index = run / "report" / "index.json"
    if index.exists():
        for cases in json.loads(index.read_text()).values():
            for case, entry in cases.items():
                verdict = (entry["behavior"], entry["behaviorClose"])
                verdicts.setdefault(case, set()).add(verdict)
    return verdicts


def check(run, cases):
    """Prints each difference of one run; returns how many cases passed and failed."""
    name = " ".join(run.name.split("-"))
    expected = read_expected()
    reported = read_report(run)
    failed, missing, others = set(), [], 0

    for case in cases:
        got = reported.pop(case, None)
        if got is None:
            missing.append(case)
        elif got != {expected[case]}:
            failed.add(case)
            text = " and ".join(" / ".join(verdict) for verdict in sorted(got))
            print(f"{case} {name}: expected {' / '.join(expected[case])}, got {text}")
    if missing:
        which = " ".join(missing) if len(missing) < len(cases) else f"all {len(cases)}"
        print(f"{name}: no verdict in the report: {which}")
        failed.update(missing)
    for case in reported:
        print(f"{case} {name}: expected no such case, got one")
        others += 1

    for line in (run / "problems.txt").read_text().splitlines():
        case, problem = line.split(" ", 1)
        print(f"{case} {name}: {problem}" if case in cases else f"{name}: {problem}")
        if case in cases:
            failed.add(case)
        else:
            others += 1
    return len(cases) - len(failed), len(failed) + others


def main(command, *arguments):
    if command == "list":
        print("\n".join(select(arguments)))
        return 0
    cases_file, *runs = map(pathlib.Path, arguments)
    cases = cases_file.read_text().split()
    results = [check(run, cases) for run in runs]
    passed, failed = map(sum, zip(*results))
    print(f"{passed} passed, {failed} failed")
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("list", "check"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
