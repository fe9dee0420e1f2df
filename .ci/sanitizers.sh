#!/usr/bin/env bash
# The tests under the compiler's sanitizers: .ci/sanitizers.sh [address|thread...], both if nothing is said.
#
# `address` is AddressSanitizer with LeakSanitizer, `thread` is ThreadSanitizer. They need a nightly compiler.
# Tests of allocations have allocators of their own, and run, too. Left out is what measures the memory of a process,
# to which the sanitizers add.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

cargo +nightly --version >/dev/null 2>&1 || {
  echo "sanitizers.sh needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2
  exit 2
}
# What tests leak because nothing else is what they show.
export LSAN_OPTIONS=suppressions=$PWD/.ci/lsan.txt
target=$(rustc -vV | sed -n 's/^host: //p')
(($# > 0)) || set -- address thread

for sanitizer; do
  case $sanitizer in
    address) flags=-Zsanitizer=address ;;
    # The standard library is not built with it, which the compiler wants to be told.
    thread) flags='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer' ;;
    *)
      echo "usage: .ci/sanitizers.sh [address|thread...]" >&2
      exit 2
      ;;
  esac
  printf '\n== %s sanitizer\n' "$sanitizer"
  export CARGO_TARGET_DIR=${SANITIZER_TARGET_DIR:-target}/sanitize-$sanitizer RUSTFLAGS=$flags
  cargo +nightly build --target "$target" --all-features --examples
  cargo +nightly test --target "$target" --all-features --tests -- --skip streaming_holds_only_a_small_part
done
