#!/usr/bin/env bash
# Branch coverage of the core and of the shims by the tests, with a bound for each.
#
#   .ci/coverage.sh              runs the tests and judges
#   .ci/coverage.sh --report     judges what the last run has counted
#
# A branch is a condition in the source, counted once for each of its two outcomes, whatever the number of types
# that its function was compiled for. What cannot be reached is listed in coverage.txt beside this script, with
# the reason; a line there that is no longer needed is an error.
#
# It needs cargo-llvm-cov and llvm-cov of the compiler's LLVM, and installs both where it can.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

die() {
  echo "coverage.sh: $*" >&2
  exit 2
}

case ${1-} in
  '' | --report) ;;
  *) die "usage: .ci/coverage.sh [--report]" ;;
esac

# Branches are counted by an option that the stable compiler keeps to itself otherwise.
export RUSTC_BOOTSTRAP=1
major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
tools=/usr/lib/llvm-$major/bin
if [[ -z ${LLVM_COV-} && -x $tools/llvm-cov ]]; then
  export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
elif [[ -z ${LLVM_COV-} ]] && ((EUID == 0)); then
  { apt-get install -y "llvm-$major" || { apt-get update && apt-get install -y "llvm-$major"; }; } >&2 ||
    die "llvm-$major could not be installed"
  export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
fi
command -v cargo-llvm-cov >/dev/null || cargo install cargo-llvm-cov --locked

# A directory of its own, for what is counted is compiled differently.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/llvm-cov-target
environment=$(cargo llvm-cov show-env --branch --sh)
eval "$environment"

if [[ ${1-} != --report ]]; then
  # Neither what older sources were compiled to nor what it has counted may count.
  cargo llvm-cov clean --workspace
  # tests/examples.rs runs the examples as programs.
  cargo build --all-features --examples
  cargo test --all-features --tests
fi
counts=$CARGO_TARGET_DIR/coverage.json
cargo llvm-cov report --json --output-path "$counts"
python3 .ci/coverage.py "$counts" .ci/coverage.txt
