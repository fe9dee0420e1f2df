#!/usr/bin/env bash
# Measures everything and writes the tables and plots: three quarters of an hour, on a machine with two
# cores or more that does nothing else.
#
#   ./run.sh [--quick] [PART ...]        parts: inmem wire idle syscalls; without one, all of them
#
# --quick takes short looks at a few peers, into quick/ of the build's target directory, only to see that
# all of it works.
# These variables change what is done:
#
#   PEERS="sansock wtx"   these only (in memory all rows of sansock, and the floor, as well)
#   SCENARIOS="a c"       these only, of a to f
#   PASSES=9              in memory
#   SECS=3 ROUNDS=5       over TCP: seconds of each measurement, and how often; rounds take turns
#   CONNS=5000            at rest
#   SERVER_CORE=0 LOAD_CORE=1   for taskset
#   RESULTS=../results    where the lines of JSON go; report.py alone makes tables and plots of them
set -euo pipefail
cd "$(dirname "$0")"

# name, connections, bytes of a payload, messages of each connection that are under way
all_scenarios=("a 1 32 1" "b 100 20 1" "c 100 20 16" "d 10 16384 4" "e 10 1048576 1" "f 500 1024 1")
traced=(a c d e)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
bin=$CARGO_TARGET_DIR/release

quick=
if [ "${1:-}" = --quick ]; then
    quick=1
    shift
    : "${PEERS=sansock sansock-blocking tokio-websockets raw raw-blocking}"
    : "${PASSES=1}" "${SECS=1}" "${ROUNDS=1}" "${CONNS=200}" "${RESULTS=$CARGO_TARGET_DIR/quick}"
fi
parts=${*:-inmem wire idle syscalls}
read -ra scenarios <<<"${SCENARIOS:-a b c d e f}"
passes=${PASSES:-9} secs=${SECS:-3} rounds=${ROUNDS:-5} conns=${CONNS:-5000}
server_core=${SERVER_CORE:-0} load_core=${LOAD_CORE:-1} out=${RESULTS:-../results}

wants() { [[ " $parts " == *" $1 "* ]]; }
say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

cargo build --release
mkdir -p "$out"
ulimit -n "$(ulimit -Hn)"

mapfile -t servers < <("$bin/echo")
if [ -n "${PEERS:-}" ]; then
    chosen=()
    for peer in "${servers[@]}"; do
        if [[ " $PEERS " == *" $peer "* ]]; then chosen+=("$peer"); fi
    done
    servers=("${chosen[@]}")
fi

pid='' addr='' port=17000
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true' EXIT

# start PEER [PROGRAM ...]: an echo server, run by the program if one is given.
start() {
    local peer=$1
    shift
    addr=127.0.0.1:$((++port))
    "$@" taskset -c "$server_core" "$bin/echo" "$peer" "$addr" 2>/dev/null &
    pid=$!
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        sleep 0.1
    done
    say "$peer does not start"
    return 1
}

stop() {
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=''
}

# load PEER ARGUMENT ...: one run of the generator, as a line of JSON.
load() {
    local peer=$1 raw=()
    shift
    if [[ $peer == raw* ]]; then raw=(--raw); fi
    timeout 120 taskset -c "$load_core" "$bin/load" "$addr" "${raw[@]}" "$@"
}

# record FILE MEMBERS LINE: appends a line of JSON with more members at its head.
record() {
    printf '{%s,%s\n' "$2" "${3#\{}" >>"$1"
}

scenario() { # NAME
    for line in "${all_scenarios[@]}"; do
        if [[ $line == "$1 "* ]]; then echo "$line"; fi
    done
}

machine() {
    python3 - "$quick" <<'PYTHON'
import datetime, json, os, platform, re, subprocess, sys

def run(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()

changed = run("git", "--no-optional-locks", "status", "--porcelain", "--", "../../src", "../../Cargo.toml", "src", "Cargo.lock")
cpuinfo = open("/proc/cpuinfo").read()
model = re.search(r"model name\s*: (.*)", cpuinfo)
memory = int(re.search(r"MemTotal:\s*(\d+)", open("/proc/meminfo").read())[1])
print(json.dumps({
    "cpu": model[1] if model else platform.machine(),
    "family": " ".join(re.findall(r"^(?:cpu family|model)\s*: (\d+)", cpuinfo, re.M)[:2]),
    "cores": os.cpu_count(),
    "virtual": "hypervisor" in cpuinfo,
    "memory_gib": round(memory / 2**20),
    "kernel": platform.system() + " " + platform.release().split("-")[0],
    "rustc": run("rustc", "--version").split()[1],
    "libc": " ".join(platform.libc_ver()),
    "date": datetime.date.today().isoformat(),
    "commit": run("git", "rev-parse", "--short=10", "HEAD") + (", changed" if changed else ""),
    "quick": bool(sys.argv[1]),
}))
PYTHON
    "$bin/inmem" --about
}

inmem() {
    local only=${PEERS:-*} sizes=()
    if [ -n "$quick" ]; then sizes=(--size "16,125,16384"); fi
    : >"$out/inmem.jsonl"
    taskset -c "$server_core" "$bin/inmem" --json "$out/inmem.jsonl" --passes "$passes" \
        --peer "sansock*,${only// /,}" "${sizes[@]}" >&2
}

wire() {
    local peer round line
    : >"$out/wire.jsonl"
    for round in $(seq "$rounds"); do
        for name in "${scenarios[@]}"; do
            read -r _ count size depth <<<"$(scenario "$name")"
            say "wire: round $round of $rounds, scenario $name"
            for peer in "${servers[@]}"; do
                # A thread per connection is for one connection.
                if [[ $peer == *-blocking && $name != a ]]; then continue; fi
                start "$peer"
                if line=$(load "$peer" --pid "$pid" --conns "$count" --size "$size" --depth "$depth" --secs "$secs"); then
                    record "$out/wire.jsonl" "\"peer\":\"$peer\",\"scenario\":\"$name\",\"round\":$round" "$line"
                else
                    say "$peer fails scenario $name"
                fi
                stop
            done
        done
    done
}

# The memory of connections at rest.
idle() {
    local peer line
    : >"$out/idle.jsonl"
    for peer in "${servers[@]}"; do
        if [[ $peer == *-blocking ]]; then continue; fi
        say "idle: $peer"
        start "$peer"
        if line=$(load "$peer" --pid "$pid" --idle --conns "$conns" --size 1024); then
            record "$out/idle.jsonl" "\"peer\":\"$peer\"" "$line"
        else
            say "$peer fails at rest"
        fi
        stop
    done
}

# System calls for a message: of a long run less those of a short one, so that only messages count. A
# tracer slows the server down, so it finds more to read at once than it would without.
syscalls() {
    local peer few many
    : >"$out/syscalls.jsonl"
    if ! command -v strace >/dev/null; then
        say "strace is not installed: no system calls are counted"
        return
    fi
    for peer in "${servers[@]}"; do
        if [[ $peer != raw && $peer != sansock ]]; then continue; fi
        for name in "${traced[@]}"; do
            if [[ " ${scenarios[*]} " != *" $name "* ]]; then continue; fi
            read -r _ count size depth <<<"$(scenario "$name")"
            few=$((count * depth)) many=$((count * depth + (size > 100000 ? 500 : 10000)))
            say "syscalls: $peer, scenario $name"
            trace "$peer" "$few" "$count" "$size" "$depth" "$out/strace.few"
            trace "$peer" "$many" "$count" "$size" "$depth" "$out/strace.many"
            python3 - "$peer" "$name" $((many - few)) "$out/strace.few" "$out/strace.many" \
                <<'PYTHON' >>"$out/syscalls.jsonl"
import json, sys

def calls(path):
    rows = (line.split() for line in open(path))
    return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}

peer, scenario, messages, few, many = sys.argv[1:]
few, many = calls(few), calls(many)
each = {name: round((many[name] - few.get(name, 0)) / int(messages), 4) for name in many if name != "total"}
each = {name: number for name, number in sorted(each.items()) if number >= 0.0005}
print(json.dumps({"peer": peer, "scenario": scenario, "msgs": int(messages), "calls_per_msg": each}))
PYTHON
            rm "$out/strace.few" "$out/strace.many"
        done
    done
}

trace() { # PEER MESSAGES CONNECTIONS SIZE DEPTH FILE
    start "$1" strace -f -c -U calls,name -o "$6"
    load "$1" --conns "$3" --size "$4" --depth "$5" --msgs "$2" >/dev/null
    # The server is the tracer's child: when it ends, the tracer writes its counts and ends as well.
    pkill -P "$pid" || true
    wait "$pid" 2>/dev/null || true
    pid=''
}

say "results go to $out"
machine >"$out/machine.jsonl"
for part in inmem wire idle syscalls; do
    if wants "$part"; then "$part"; fi
done
if [ -z "$quick" ]; then
    python3 report.py --results "$out"
else
    python3 report.py --results "$out" --into "$out"
fi
