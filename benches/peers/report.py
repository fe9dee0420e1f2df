#!/usr/bin/env python3
"""Tables and plots of the results in benches/results, without measuring anything.

report.py                             into benches/README.md, benches/*.svg and the table of ../../README.md
report.py --results DIR --into DIR    from elsewhere to elsewhere: README.md and the plots, nothing more

Tables stand between <!-- NAME --> and <!-- /NAME -->, and nothing else is touched. matplotlib is
installed under the build's target directory where it is missing.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import median

BENCHES = Path(__file__).resolve().parent.parent

SCENARIOS = {
    "a": "1 connection, 32 B",
    "b": "100 connections, 20 B",
    "c": "100 connections, 20 B, 16 under way on each",
    "d": "10 connections, 16 KiB, 4 under way on each",
    "e": "10 connections, 1 MiB",
    "f": "500 connections, 1 KiB",
}
CASES = {
    "recv_server": "Receive as a server: binary, masked",
    "recv_server_text_ascii": "Receive as a server: text, ASCII",
    "recv_server_text_mixed": "Receive as a server: text of many scripts",
    "recv_client": "Receive as a client: binary, not masked",
    "send_server": "Send as a server: binary",
    "send_client": "Send as a client: binary, masked",
    "echo_server": "Echo as a server: binary, each message flushed",
}


class Results:
    """The lines of JSON, as they were written."""

    def __init__(self, directory):
        def lines(name):
            path = directory / f"{name}.jsonl"
            return [json.loads(line) for line in path.open()] if path.exists() else []

        machine = lines("machine")
        self.machine = machine[0] if machine else None
        self.peers = {row["peer"]: row for row in machine[1:]}
        self.inmem, self.wire = lines("inmem"), lines("wire")
        self.idle, self.syscalls = lines("idle"), lines("syscalls")

    def is_complete(self, peer):
        """Whether it is a whole library, so that it may be the best."""
        return self.peers.get(peer, {}).get("complete", not peer.startswith("raw"))

    def competes(self, peer, case):
        checks = self.peers.get(peer, {}).get("checks_utf8", True)
        return self.is_complete(peer) and (checks or "text" not in case)

    def label(self, peer, case=""):
        about = self.peers.get(peer, {})
        remarks = [] if about.get("complete", True) or peer == "floor" else ["bare codec"]
        if "text" in case and not about.get("checks_utf8", True):
            remarks.append("no UTF-8 check")
        return shown(peer) + (f" ({', '.join(remarks)})" if remarks else "")


def shown(peer):
    return peer.replace("sansock-", "sansock, ")


def is_ours(peer):
    return peer.startswith("sansock")


def size_name(size):
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB" if size >> 10 else f"{size} B"


def number(value):
    """Three digits or more."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows, words=1):
    """The first columns are of words, the others of numbers."""
    rule = ["---"] * words + ["--:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, rule, *rows]) + "\n"


def machine_line(results):
    m = results.machine
    kind = "virtual machine" if m["virtual"] else "machine"
    return (
        f"{m['cpu']} (family and model {m['family']}), a {kind} of {m['cores']} cores and {m['memory_gib']} GiB;"
        f" {m['kernel']}, {m['libc']}, rustc {m['rustc']}; {m['date']}, commit {m['commit'] or 'unknown'}."
        + (" A quick run: its figures mean nothing." if m["quick"] else "")
        + "\n"
    )


def peers_table(results):
    rows = []
    for peer, about in results.peers.items():
        if peer == "floor":
            continue
        utf8 = "yes" if about["checks_utf8"] else "no"
        rows.append([results.label(peer), about["version"], utf8, about["setup"]])
    return table(["library", "version", "checks UTF-8", "how it is driven and set"], rows, words=4)


def inmem_tables(results):
    parts = []
    sizes = sorted({row["size"] for row in results.inmem})
    for case, title in {**CASES, "limit": "The work alone"}.items():
        cells = {(row["peer"], row["size"]): row for row in results.inmem if row["case"] == case}
        if cells:
            body = limit_rows(cells, sizes) if case == "limit" else case_rows(results, case, cells, sizes)
            head = ["ns per message", *map(size_name, sizes)]
            head += [] if case == "limit" else ["allocations, 125 B / 16 KiB"]
            parts.append(f"### {title}\n\n{table(head, body)}")
    return "\n".join(parts)


def limit_rows(cells, sizes):
    names = dict.fromkeys(peer for peer, _ in cells)
    return [[name, *(number(cells[name, size]["ns_per_msg"]) for size in sizes)] for name in names]


def case_rows(results, case, cells, sizes):
    def nanos(peer, size):
        return cells[peer, size]["ns_per_msg"] if (peer, size) in cells else float("inf")

    def best(size, peers):
        return min(nanos(peer, size) for peer in peers)

    peers = [peer for peer in dict.fromkeys(peer for peer, _ in cells) if peer != "floor"]
    key = 125 if 125 in sizes else sizes[0]
    peers.sort(key=lambda peer: nanos(peer, key))
    rivals = [peer for peer in peers if results.competes(peer, case)]
    others = [peer for peer in rivals if not is_ours(peer)]

    def cell(peer, size):
        value = nanos(peer, size)
        if value == float("inf"):
            return "failed"
        bold = peer in rivals and value == best(size, rivals)
        return f"**{number(value)}**" if bold else number(value)

    def allocations(peer):
        rows = [cells[peer, size] for size in (125, 16384) if (peer, size) in cells]
        return " / ".join(f"{row['allocs_per_msg']:.2f}" for row in rows)

    rows = [
        [results.label(peer, case), *(cell(peer, size) for size in sizes), allocations(peer)] for peer in peers
    ]
    rows.append(["*floor*", *(number(nanos("floor", size)) for size in sizes), "0"])
    if "sansock" in peers:
        floor = (f"{cells['sansock', size]['to_floor']:.2f}" for size in sizes)
        rows.append(["*sansock to the floor*", *floor, ""])
    if "sansock" in peers and others:
        ratios = (f"{nanos('sansock', size) / best(size, others):.2f}" for size in sizes)
        rows.append(["*sansock to the best other*", *ratios, ""])
    return rows


def wire_summary(results, scenario):
    """Of each peer: the medians of its rounds, and its ratios to raw."""
    rounds = {}
    for row in results.wire:
        if row["scenario"] == scenario:
            rounds.setdefault(row["peer"], {})[row["round"]] = row
    summary = {}
    for peer, rows in rounds.items():
        each = {
            key: median(row[key] for row in rows.values())
            for key in next(iter(rows.values()))
            if key not in ("peer", "scenario")
        }
        each["best"] = min(row["cpu_us_per_msg"] for row in rows.values())
        base = rounds.get("raw-blocking" if peer.endswith("-blocking") else "raw", {})
        # Within a round, whose measurements were made one after another.
        ratios = [rows[at]["cpu_us_per_msg"] / base[at]["cpu_us_per_msg"] for at in rows if at in base]
        each["to_raw"] = median(ratios) if ratios else None
        each["best_to_raw"] = min(ratios) if ratios else None
        summary[peer] = each
    return dict(sorted(summary.items(), key=lambda item: item[1]["cpu_us_per_msg"]))


def ratio(value):
    return "" if value is None else f"{value:.2f}"


def wire_tables(results):
    head = ["", "CPU, µs", "to raw", "best round, µs", "to raw", "of it user, µs", "messages/s"]
    head += ["p50, µs", "p99, µs", "p99.9, µs", "core busy", "page faults"]
    parts = []
    for scenario, title in SCENARIOS.items():
        rows = [
            [
                results.label(peer),
                f"{row['cpu_us_per_msg']:.2f}",
                ratio(row["to_raw"]),
                f"{row['best']:.2f}",
                ratio(row["best_to_raw"]),
                f"{row['user_us_per_msg']:.2f}",
                f"{row['msgs_per_s']:,.0f}",
                *(f"{row[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us")),
                f"{100 * row['server_util']:.0f} %",
                f"{row['faults_per_msg']:.2f}",
            ]
            for peer, row in wire_summary(results, scenario).items()
        ]
        if rows:
            parts.append(f"### ({scenario}) {title}\n\n{table(head, rows)}")
    return "\n".join(parts)


def idle_table(results):
    rows = sorted(results.idle, key=lambda row: row["bytes_used"])
    body = [[results.label(r["peer"]), f"{r['bytes_fresh']:,}", f"{r['bytes_used']:,}"] for r in rows]
    return table(["bytes for each connection", "fresh", "after an echo of 1 KiB"], body)


def syscalls_table(results):
    body = []
    for row in sorted(results.syscalls, key=lambda row: (row["scenario"], row["peer"])):
        calls = row["calls_per_msg"]
        names = ", ".join(f"{name} {count:.3g}" for name, count in calls.items())
        body.append([SCENARIOS[row["scenario"]], row["peer"], names, f"{sum(calls.values()):.3g}"])
    return table(["calls for each message", "", "which", "all"], body, words=3)


def short_table(results):
    """What the README of the library says of all this."""
    rows = []
    for case, size, title in [
        ("recv_server", 125, "receive 125 B"),
        ("recv_server", 16384, "receive 16 KiB"),
        ("recv_server_text_ascii", 125, "receive 125 B of text"),
        ("send_server", 125, "send 125 B"),
        ("echo_server", 125, "echo 125 B"),
    ]:
        cells = {row["peer"]: row["ns_per_msg"] for row in results.inmem if (row["case"], row["size"]) == (case, size)}
        rows.append(short_row(results, f"{title}, in memory", cells, "floor", "ns", case))
    for scenario in "bcde":
        cells = {peer: row["cpu_us_per_msg"] for peer, row in wire_summary(results, scenario).items()}
        rows.append(short_row(results, f"echo over TCP: {SCENARIOS[scenario]}", cells, "raw", "µs", ""))
    cells = {row["peer"]: row["bytes_used"] for row in results.idle}
    rows.append(short_row(results, "memory of a connection at rest, after traffic", cells, "", "B", ""))
    head = ["CPU time of a message; memory", "sansock", "best other library", "floor, or raw bytes"]
    return table(head, [row for row in rows if row])


def short_row(results, title, cells, base, unit, case):
    others = {peer: v for peer, v in cells.items() if results.competes(peer, case) and not is_ours(peer)}
    if "sansock" not in cells or not others:
        return None
    best = min(others, key=others.get)
    floor = f"{number(cells[base])} {unit}" if base in cells else ""
    return [title, f"{number(cells['sansock'])} {unit}", f"{number(others[best])} {unit}, {best}", floor]


def put(text, name, content):
    """The text with the content between the markers of that name, if it has them."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, default=BENCHES / "results")
    parser.add_argument("--into", type=Path, default=BENCHES)
    options = parser.parse_args()
    results = Results(options.results)

    text = (BENCHES / "README.md").read_text()
    for name, present, content in [
        ("machine", results.machine, machine_line),
        ("peers", results.peers, peers_table),
        ("inmem", results.inmem, inmem_tables),
        ("wire", results.wire, wire_tables),
        ("idle", results.idle, idle_table),
        ("syscalls", results.syscalls, syscalls_table),
    ]:
        text = put(text, name, content(results) if present else "Not measured.\n")
    (options.into / "README.md").write_text(text)

    front = BENCHES.parent / "README.md"
    if options.into == BENCHES and results.machine:
        before = front.read_text()
        after = put(before, "results", short_table(results))
        if after != before:
            front.write_text(after)
    if results.inmem or results.idle:
        import plots

        plots.draw(results, options.into)


if __name__ == "__main__":
    main()
