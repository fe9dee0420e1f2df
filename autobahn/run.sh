#!/usr/bin/env bash
# Runs the Autobahn test suite against the examples; README.md beside this file says more.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
repo=$(dirname -- "$here")
state=$repo/target/autobahn
kosoku=kosoku==0.1.0
image=crossbario/autobahn-testsuite:25.10.1
at_once=4        # cases that run at the same time, where the suite allows it
case_limit=120   # seconds for one case in the client role
run_limit=1800   # seconds for all cases of one role and shim

usage() {
  cat <<END
usage: autobahn/run.sh [--suite kosoku|official] [--role server|client|both]
                       [--shim tokio|blocking|both] [CASE...]

Runs the Autobahn test suite against the examples echo, echo_blocking and echo_client
and compares its verdicts with autobahn/expected.txt. The last line says how many cases
passed and failed; the exit code is 0 only when none failed.

  --suite   kosoku (default): Autobahn's cases run by the kosoku package, on Python 3
            official: Autobahn's own wstest, in Docker or on Python 2.7
  --role    what sansock plays (default: both)
  --shim    which shim plays it (default: both)
  CASE      a case or a pattern, such as 6.4.1 or '1.*' (default: all)
END
}

die() {
  echo "run.sh: $*" >&2
  exit 2
}

suite=kosoku role=both shim=both patterns=()
while (($#)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --suite | --role | --shim)
      (($# > 1)) || die "$1 needs a value (see --help)"
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    -*) die "unknown option $1 (see --help)" ;;
    *)
      patterns+=("$1")
      shift
      ;;
  esac
done
case $suite in kosoku | official) ;; *) die "unknown suite $suite (see --help)" ;; esac
case $role in
  server | client) roles=("$role") ;;
  both) roles=(server client) ;;
  *) die "unknown role $role (see --help)" ;;
esac
case $shim in
  tokio | blocking) shims=("$shim") ;;
  both) shims=(tokio blocking) ;;
  *) die "unknown shim $shim (see --help)" ;;
esac
selected=$(python3 "$here/compare.py" list "${patterns[@]}")
mapfile -t cases <<<"$selected"

mkdir -p "$state"
work=$(mktemp -d "$state/run.XXXXXX")
# shellcheck disable=SC2329 # trap calls it
cleanup() {
  local left
  mapfile -t left < <(jobs -rp)
  # One that ends just now makes kill fail, which is as good.
  if ((${#left[@]})); then kill "${left[@]}" 2>/dev/null || :; fi
  wait
  rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Starts COMMAND in the background, to be ended after SECONDS; sets $started.
start() { # SECONDS LOG COMMAND...
  : >"$2"
  timeout --kill-after=5 "$1" "${@:3}" </dev/null >>"$2" 2>&1 &
  started=$!
}

# Waits for a command's end; sets $status.
finish() { # PID
  status=0
  wait "$1" || status=$?
}

# Waits for a server to say where it listens; sets $url.
await_url() { # PID LOG
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    if url=$(grep -m1 -oE 'ws://127\.0\.0\.1:[0-9]+$' "$2"); then return 0; fi
    if ! kill -0 "$1" 2>/dev/null; then return 1; fi
    sleep 0.1
  done
  return 1
}

# Writes one of the spec files for wstest to $dir/spec.json.
write_spec() { # NAME URL
  local list
  printf -v list '"%s",' "${cases[@]}"
  sed -e "s|@REPORT@|$dir/report|" -e "s|@URL@|$2|" -e "s|@CASES@|${list%,}|" \
    "$here/$1" >"$dir/spec.json"
}

problem() { # CASE-OR-DASH WORDS...
  echo "$*" >>"$dir/problems.txt"
}

# What a command's exit status says; kosoku's is 1 when any case isn't simply OK.
judge_suite() {
  case $status in
    0 | 1) ;;
    124) problem - "the suite was still running after $run_limit seconds" ;;
    *) problem - "the suite ended with status $status; see suite.log" ;;
  esac
}

# The suite's fuzzing client against our echo server.
run_server() { # SHIM
  local name=echo peer suite_command
  if [[ $1 == blocking ]]; then name=echo_blocking; fi
  start $((run_limit + 60)) "$dir/peer.log" "${program[$name]}" 127.0.0.1:0
  peer=$started
  if await_url "$peer" "$dir/peer.log"; then
    if [[ $suite == kosoku ]]; then
      suite_command=("$venv/bin/kosoku" --mode fuzzingclient --parallelism "$at_once"
        --outdir "$dir/report" "${cases[@]/#/--include=}" "$url")
    else
      write_spec fuzzingclient.json "$url"
      suite_command=("${wstest[@]}" "$dir/spec.json")
    fi
    start "$run_limit" "$dir/suite.log" "${suite_command[@]}"
    finish "$started"
    judge_suite
    kill "$peer" 2>/dev/null || problem - "the echo server ended early; see peer.log"
    finish "$peer"
    case $status in
      0 | 143) ;;
      *) problem - "the echo server ended with status $status on SIGTERM; see peer.log" ;;
    esac
  else
    problem - "the echo server did not say where it listens; see peer.log"
  fi
}

# Our client against the suite's fuzzing server, once for each case.
run_client() { # SHIM
  local suite_command server id number=0 tries flags=() offer
  if [[ $1 == blocking ]]; then flags=(--blocking); fi
  if [[ $suite == kosoku ]]; then
    suite_command=("$venv/bin/kosoku" --mode fuzzingserver --outdir "$dir/report"
      "${cases[@]/#/--include=}" 127.0.0.1:0)
  else
    write_spec fuzzingserver.json ""
    suite_command=("${wstest[@]}" "$dir/spec.json")
  fi
  start $((run_limit + 60)) "$dir/suite.log" "${suite_command[@]}"
  server=$started
  if ! await_url "$server" "$dir/suite.log"; then
    problem - "the suite did not say where it listens; see suite.log"
    return
  fi
  for id in "${cases[@]}"; do
    number=$((number + 1))
    # What a client has to offer, so that the suite accepts it in these cases.
    case $id in
      13.[2567].*) offer=(--no-context-takeover) ;;
      *) offer=() ;;
    esac
    echo "$id" "$url/runCase?case=$number&agent=sansock" "${flags[@]}" "${offer[@]}"
  done >"$dir/cases.txt"
  start "$run_limit" "$dir/peer.log" xargs --arg-file="$dir/cases.txt" --max-procs="$at_once" \
    --max-lines=1 bash -c 'run_case "$@"' run_case "$dir" "$case_limit" "${program[echo_client]}"
  finish "$started"
  if ((status != 0)); then
    problem - "the client's runs ended with status $status (124: after $run_limit seconds)"
  fi
  # kosoku drops this connection without a closing handshake: the status tells nothing.
  start 60 "$dir/update.log" "${program[echo_client]}" \
    "$url/updateReports?agent=sansock&shutdownOnComplete=true" "${flags[@]}"
  finish "$started"
  for ((tries = 0; tries < 600; tries++)); do
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
  done
  if kill "$server" 2>/dev/null; then
    problem - "the suite wrote no report and did not end; see suite.log"
    finish "$server"
  else
    finish "$server"
    judge_suite
  fi
}

# One case of the client role: a client that hangs or crashes is a problem whatever the verdict.
# shellcheck disable=SC2329 # xargs calls it
run_case() { # DIR LIMIT PROGRAM CASE ARGUMENTS...
  local dir=$1 limit=$2 program=$3 id=$4 said status=0
  said=$(timeout --foreground --kill-after=5 "$limit" "$program" "${@:5}" 2>&1) || status=$?
  printf '%s: status %d: %s\n' "$id" "$status" "$said"
  if ((status == 124 || status == 137)); then
    echo "$id the client was still running after $limit seconds" >>"$dir/problems.txt"
  elif ((status > 100)); then
    echo "$id the client ended with status $status; see peer.log" >>"$dir/problems.txt"
  fi
}
export -f run_case

install_kosoku() {
  venv=$state/${kosoku/==/-}
  if "$venv/bin/kosoku" --help >/dev/null 2>&1; then return; fi
  echo "installing $kosoku"
  rm -rf -- "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --only-binary=:all: "$kosoku"
}

install_official() {
  if docker info >/dev/null 2>&1; then
    docker pull --quiet "$image"
    # With the interpreter that the image runs wstest with, whatever its name.
    # shellcheck disable=SC2016
    wstest=(docker run --rm --init --network host --user "$(id -u):$(id -g)" --env HOME=/tmp
      --volume "$here:$here:ro" --volume "$state:$state" "$image" sh -c
      'exec $(sed -n "1s/^#!//p" "$(command -v wstest)") "$@"' sh "$here/wstest.py")
    return
  fi
  wstest=("$state/wstest/python" "$here/wstest.py")
  if "$state/wstest/python" -c 'import autobahntestsuite' >/dev/null 2>&1; then return; fi
  echo "no Docker engine answers: building Python 2.7 for Autobahn's suite"
  "$here/install-wstest.sh" "$state/wstest"
}

# Two runs at once share what is installed, and each replaces the last reports whole.
exec {lock}>"$state/lock"
flock "$lock"
if [[ $suite == kosoku ]]; then install_kosoku; else install_official; fi
flock --unlock "$lock"

declare -A program
names=()
if [[ $role != client ]]; then
  for shim in "${shims[@]}"; do
    if [[ $shim == tokio ]]; then names+=(echo); else names+=(echo_blocking); fi
  done
fi
if [[ $role != server ]]; then names+=(echo_client); fi
built=$(cd "$repo" && cargo build --release "${names[@]/#/--example=}" \
  --message-format=json-render-diagnostics | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable"):
        print(message["target"]["name"], message["executable"])')
while read -r name path; do program[$name]=$path; done <<<"$built"

printf '%s\n' "${cases[@]}" >"$work/cases.txt"
runs=()
for role in "${roles[@]}"; do
  for shim in "${shims[@]}"; do
    dir=$work/$role-$shim
    mkdir "$dir"
    : >"$dir/problems.txt"
    began=$SECONDS
    if [[ $role == server ]]; then run_server "$shim"; else run_client "$shim"; fi
    echo "$suite $role $shim: ${#cases[@]} cases in $((SECONDS - began)) seconds"
    runs+=("$dir")
  done
done

result=0
python3 "$here/compare.py" check "$work/cases.txt" "${runs[@]}" >"$work/differences.txt" || result=$?
flock "$lock"
mkdir -p "$state/$suite"
for dir in "${runs[@]}"; do
  rm -rf -- "${state:?}/$suite/${dir##*/}"
  mv -- "$dir" "$state/$suite/"
done
flock --unlock "$lock"
echo "reports: ${state#"$PWD/"}/$suite/ROLE-SHIM/report/index.html"
cat "$work/differences.txt"
exit "$result"
