"""The two plots, as small SVG files that come out the same for the same results."""

import os
import subprocess
import sys
from pathlib import Path

from report import is_ours, shown, size_name

MATPLOTLIB = "matplotlib==3.10.3"

try:
    import matplotlib
except ImportError:
    # An environment of its own, and the same program again.
    target = Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).resolve().parent / "target")
    python = target / "plots" / "bin" / "python"
    if Path(sys.prefix) == target / "plots":
        raise
    if not python.exists() or subprocess.run([python, "-c", "import matplotlib"], capture_output=True).returncode:
        subprocess.run([sys.executable, "-m", "venv", target / "plots"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", MATPLOTLIB], check=True)
    os.execv(python, [str(python), *sys.argv])

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

OURS, FLOOR, INK, GRID = "#c62828", "#111111", "#333333", "#e2e2e2"
# Muted, so that ours stands out; told apart by the marker as well.
COLORS = ["#3b6ea8", "#4f9d69", "#8d6cab", "#c48a3a", "#5aa7b0", "#8a6d5a", "#7a8b3c", "#b0708f"]
MARKERS = "osD^vP"

pyplot.rcParams.update({
    "svg.fonttype": "none",
    "svg.hashsalt": "sansock",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
})


def draw(results, directory):
    if results.inmem:
        cpu(results, directory / "cpu.svg")
    if results.idle:
        memory(results, directory / "memory.svg")


def save(figure, path):
    figure.savefig(path, facecolor="white", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n")


def cpu(results, path):
    figure, panels = pyplot.subplots(1, 2, figsize=(9.2, 4.6), sharey=True, layout="constrained")
    names = []
    for axes, case, title in zip(panels, ["recv_server", "echo_server"], ["receive", "echo"]):
        lines = {}
        for row in results.inmem:
            if row["case"] == case and (row["peer"] == "sansock" or not is_ours(row["peer"])):
                lines.setdefault(row["peer"], {})[row["size"]] = row["ns_per_msg"]
        if not lines:
            continue
        # The same order, colours and markers in both.
        names = names or sorted(lines, key=lambda peer: -lines[peer].get(125, 0))
        others = [peer for peer in names if peer not in ("sansock", "floor")]
        for peer in names:
            at = others.index(peer) if peer in others else 0
            style = {"color": COLORS[at % len(COLORS)], "lw": 1.1, "marker": MARKERS[at % len(MARKERS)], "ms": 3.5}
            if peer == "sansock":
                style = {"color": OURS, "lw": 2.8, "marker": "o", "ms": 6, "zorder": 5}
            elif peer == "floor":
                style = {"color": FLOOR, "lw": 1.4, "ls": "--"}
            points = sorted(lines.get(peer, {}).items())
            axes.plot(*zip(*points), label=shown(peer), **style)
        axes.set(xscale="log", yscale="log", title=f"{title}, as a server, in memory", xlabel="payload")
        sizes = sorted({size for line in lines.values() for size in line})
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: size_name(int(size))))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", rotation=45)
        axes.grid(color=GRID, lw=0.7)
        axes.set_axisbelow(True)
    panels[0].set_ylabel("CPU time of a message")
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda nanos, _: time_name(nanos)))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    save(figure, path)


def time_name(nanos):
    return f"{nanos:g} ns" if nanos < 1e3 else f"{nanos / 1e3:g} µs" if nanos < 1e6 else f"{nanos / 1e6:g} ms"


def memory(results, path):
    rows = sorted(results.idle, key=lambda row: -row["bytes_used"])
    # Bytes that are echoed raw need no memory, or whatever buffer they are given.
    rows = [row for row in rows if not row["peer"].startswith("raw") and row["bytes_fresh"] > 0]
    figure, axes = pyplot.subplots(figsize=(9.2, 0.42 * len(rows) + 1.3), layout="constrained")
    for at, row in enumerate(rows):
        color = OURS if is_ours(row["peer"]) else COLORS[0]
        for key, offset, strength in [("bytes_fresh", 0.2, 0.45), ("bytes_used", -0.2, 1.0)]:
            axes.barh(at + offset, row[key], height=0.36, color=color, alpha=strength, lw=0)
            axes.text(row[key] * 1.06, at + offset, f"{row[key]:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [shown(row["peer"]) for row in rows])
    for label in axes.get_yticklabels():
        if is_ours(label.get_text()):
            label.set_color(OURS)
            label.set_fontweight("bold")
    axes.set(xscale="log", xlabel="bytes of memory for each idle connection")
    axes.set_title("pale: fresh; strong: after one echo of 1 KiB", fontsize=10)
    axes.set_xlim(500, axes.get_xlim()[1] * 2)
    axes.margins(y=0.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    save(figure, path)
