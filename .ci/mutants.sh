#!/usr/bin/env bash
# Mutation testing of the core: changes it in some two thousand ways, one at a time, and fails if the tests do not see
# one of them that mutants.txt does not explain:
#
#     .ci/mutants.sh [TOPIC...]
#
# A topic is framing, halves, buffers, deflate or handshake; all if nothing is said, which takes some hours. The tests
# of the topic judge first; what they do not see, and mutants.txt does not explain, is given to those of hostile inputs,
# and to more tests. It mutates the sources in place: in a copy of the repository under target/.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A files=(
    [framing]='src/close.rs src/config.rs src/control.rs src/error.rs src/frame.rs src/mask.rs src/message.rs
        src/prepared.rs src/size.rs src/utf8.rs'
    [halves]='src/connection.rs src/receive/cold.rs src/receive/find.rs src/receive/mod.rs
        src/send/messages.rs src/send/mod.rs src/time.rs src/timers.rs'
    [buffers]='src/inbox.rs src/output.rs src/reads.rs src/spare.rs'
    [deflate]='src/deflate/** src/receive/compressed.rs src/send/compressed.rs'
    [handshake]='src/handshake/**'
)
declare -A quick=(
    [framing]='messages section_5_framing section_7_closing limits_and_timers offer properties words'
    [buffers]='allocations buffers blocking_memory read_sizes words'
    [deflate]='deflate_pool deflate_receive deflate_send deflate_negotiation buffers words'
    [handshake]='handshake_client handshake_server handshake_extensions deflate_negotiation words'
)
declare -A more=(
    [framing]='allocations blocking_shim deflate_negotiation deflate_receive deflate_send handshake_client
        handshake_server relay shim_faults tokio_memory tokio_shim tokio_split'
    [buffers]='blocking_shim deflate_receive offer relay section_5_framing shim_faults streaming_memory tokio_memory
        tokio_shim tokio_split'
    [deflate]='deflate_differential deflate_memory deflate_shims'
    [handshake]='blocking_shim deflate_shims hostile_memory tokio_shim'
)
# Of the hostile inputs, those whose names have one of these.
declare -A hostile=(
    [framing]='framing utf8 close' [buffers]='framing stuck' [deflate]='deflate' [handshake]='handshake'
)
quick[halves]="${quick[framing]} allocations buffers read_sizes relay" more[halves]=${more[framing]} hostile[halves]="${hostile[framing]} panics handlers"

cargo mutants --version > /dev/null 2>&1 || cargo install cargo-mutants --locked
topics=("$@")
((${#topics[@]})) || topics=(framing halves buffers deflate handshake)
for topic in "${topics[@]}"; do
    [[ -v files[$topic] ]] || { sed -n '/^# A topic/s/^# //p' "$0" >&2; exit 2; }
done

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
mkdir -p "$work"
rm -rf "${work:?}/copy"
git clone --quiet . "$work/copy"
# Fewer cases of each property, as there are many mutants. And one that fetches memory for ever must not take it all.
export CARGO_TARGET_DIR=$work/target CARGO_PROFILE_MUTANTS_INCREMENTAL=true PROPTEST_CASES=16
ulimit -v 12000000

# The names of mutants without where they stand in their files.
names() { sed -nE 's/^(src[^:]*):[0-9]+:[0-9]+: (.*)/\1: \2/p' "$@" | sort -u; }

explained() { grep '^src' .ci/mutants.txt | sort -u; }

# What the topic's last pass has not seen, and nobody explains.
unexplained() { comm -23 <(names "$work/$1/mutants.out/missed.txt") <(explained); }

# As regular expressions for their whole names.
patterns() { sed -E 's/[][\\.|$(){}?+*^]/\\&/g; s/^(src[^:]*): (.*)/^\1:[0-9]+:[0-9]+: \2$/'; }

# pass TOPIC TESTS [FILTER...]: what survives is in $work/TOPIC.
pass() {
    local topic=$1 tests=$2 file options=() status=0
    shift 2
    if [[ -d $work/$topic ]]; then
        [[ $(unexplained "$topic") ]] || return 0
        while read -r file; do options+=(--exclude-re "$file"); done < <(explained | patterns)
    fi
    for file in ${files[$topic]}; do options+=(-f "$file"); done
    for file in $tests; do options+=("-C=--test=$file"); done
    if (($#)); then options+=(-- -- "$@"); else options+=(-C=--lib); fi
    (
        set -f
        cd "$work/copy"
        # First come the tests without a mutant: they must pass, and say how long is too long.
        cargo mutants -o "$work/$topic" --in-place --iterate --minimum-test-timeout 20 --timeout-multiplier 4 \
            --build-timeout 300 --all-features --no-shuffle --colors never "${options[@]}"
    ) > "$work/$topic.log" 2>&1 || status=$?
    # 2 and 3: some survive, or run for ever, which is as good as a test that fails: they need not do it again.
    case $status in
        0 | 2 | 3) cat "$work/$topic/mutants.out/timeout.txt" >> "$work/$topic/mutants.out/caught.txt" ;;
        *) tail "$work/$topic.log" >&2; exit 1 ;;
    esac
}

status=0
set -f
for topic in "${topics[@]}"; do
    rm -rf "${work:?}/$topic"
    pass "$topic" "${quick[$topic]}"
    # shellcheck disable=SC2086 # words
    pass "$topic" 'hostile hostile_resources_memory' ${hostile[$topic]}
    pass "$topic" "${more[$topic]}"
    if unexplained "$topic" | grep .; then
        echo "of $topic these survive, and .ci/mutants.txt does not explain them" >&2
        status=1
    else
        echo "$topic: none survives that .ci/mutants.txt does not explain"
    fi
done
exit $status
