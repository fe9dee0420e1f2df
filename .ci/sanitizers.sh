#!/usr/bin/env bash
# The tests under the compiler's sanitizers: .ci/sanitizers.sh [address|thread...], both if nothing is said.
#
# `address` is AddressSanitizer with LeakSanitizer, `thread` is ThreadSanitizer. They need a nightly compiler.
# Python, Node and the proxies are other processes, and tests of allocations have allocators of their own: they run,
# too, where they do not measure what the sanitizers add.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

cargo +nightly --version >/dev/null 2>&1 || {
  echo "sanitizers.sh needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2
  exit 2
}
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
  cargo +nightly test --target "$target" --all-features --tests
done
