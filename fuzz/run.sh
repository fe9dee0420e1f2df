#!/usr/bin/env bash
# Runs fuzz targets from their committed corpora, as many at once as there are processors, and fails on the first
# finding:
#
#     fuzz/run.sh [SECONDS] [TARGET...]
#
# 30 seconds for each target if nothing is said, and all targets. What the fuzzer adds goes to copies of the
# corpora under target/; an input that fails is kept in fuzz/artifacts/TARGET/.
set -euo pipefail
cd "$(dirname "$0")/.."

# How long inputs may become: long enough for what the target looks at, and short enough for many runs a
# second.
declare -A max_len=(
    [client_stream]=2048 [differential]=600 [extension_header]=512 [header]=32 [inflate]=4096 [negotiate]=1024
    [operations]=400 [request_head]=1024 [response_head]=1024 [server_stream]=2048 [splits]=512
)

# Of these, a short input does not do less than a long one: it need not be tried first.
declare -A more=([differential]=-len_control=0 [operations]=-len_control=0)

# The dictionary of a target is fuzz/TARGET.dict, or one of these.
declare -A dict=(
    [client_stream]=frames [extension_header]=negotiate [header]=frames [request_head]=http [response_head]=http
    [server_stream]=frames [splits]=frames
)

seconds=${1:-30}
shift $(($# > 0))
[[ $seconds =~ ^[0-9]+$ ]] || { echo "usage: fuzz/run.sh [SECONDS] [TARGET...]" >&2; exit 2; }

cargo +nightly --version > /dev/null 2>&1 || {
    echo "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2
    exit 1
}
cargo fuzz --version > /dev/null 2>&1 || cargo install cargo-fuzz --locked

mapfile -t targets < <(cargo +nightly fuzz list)
(($# == 0)) || targets=("$@")
work=${CARGO_TARGET_DIR:-target}/fuzz-runs
mkdir -p "$work"

cargo +nightly fuzz build
printf '\n| target | executions | edges (cov) | features (ft) | inputs |\n|---|---:|---:|---:|---:|\n'

# Fuzzes one target and says what it has reached.
fuzz() {
    local target=$1 log=$work/$1.log name executions last
    rm -rf "${work:?}/$target"
    mkdir "$work/$target"
    [[ ! -d fuzz/corpus/$target ]] || cp -r "fuzz/corpus/$target/." "$work/$target"
    local options=(-max_total_time="$seconds" -max_len="${max_len[$target]:-4096}" -timeout=10 -print_final_stats=1)
    options+=(${more[$target]:-})
    for name in "$target" "${dict[$target]:-}"; do
        [[ ! -f fuzz/$name.dict ]] || options+=("-dict=fuzz/$name.dict")
    done
    if ! cargo +nightly fuzz run "$target" "$work/$target" -- "${options[@]}" > "$log" 2>&1; then
        echo
        sed -n '/ panicked at \|ERROR: /,$p' "$log" | sed -n '1,40p' >&2
        grep -A 2 '^Failing input' "$log" >&2 || tail "$log" >&2
        echo "$target has found something: all of it is in $log" >&2
        return 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -n 1)
    figure() { sed -nE "s/.* $1: ([0-9]+).*/\1/p" <<< "$last"; }
    echo "| \`$target\` | $executions | $(figure cov) | $(figure ft) | $(figure corp) |"
}

# As many at once as there are processors. Each has a process group of its own, to be ended as a whole.
set -m
trap 'for group in $(jobs -p); do kill -- "-$group"; done' EXIT
free=$(nproc)
for target in "${targets[@]}"; do
    ((free > 0)) || { wait -n; free=$((free + 1)); }
    fuzz "$target" &
    free=$((free - 1))
done
for ((; free < $(nproc); free++)); do wait -n; done
