#!/usr/bin/env bash
# Runs every fuzz target for a count of inputs, never for a time: a machine that is
# slow then does the same work, and a failure can be repeated. One line a target.
#
#   tools/fuzz.sh              30000 inputs each, guided by coverage
#   N=2000 PLAIN=1 tools/fuzz.sh   without the coverage build: for CI, where compiling
#                              would take longer than fuzzing
#   tools/fuzz.sh FuzzVerify   the targets whose name matches only
#
# An input that fails is left in the package's testdata/fuzz: fix the bug, commit it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
n=${N:-30000} only=${1:-.}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
corpus=$(go env GOCACHE)/trifecta-fuzz
failed=0

mapfile -t files < <(git ls-files -co --exclude-standard '*_test.go' | grep -v '^tools/' | xargs grep -lE '^func Fuzz' | sort)
for pkg in $(for f in "${files[@]}"; do dirname "$f"; done | sort -u); do
  targets=$(grep -hoE '^func Fuzz\w+' "$pkg"/*_test.go | sed 's/^func //' | grep -E -- "$only" || true)
  [ -n "$targets" ] || continue
  build=(go test -c -o "$dir/test")
  [ -n "${PLAIN:-}" ] || build+=(-fuzz=Fuzz)
  "${build[@]}" "./$pkg"
  for target in $targets; do
    begun=$SECONDS
    if (cd "$pkg" && "$dir/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${n}x" -test.fuzzcachedir "$corpus/$pkg" -test.timeout 20m) >"$dir/out" 2>&1; then
      printf 'ok    %-24s %-28s %7s inputs %4ss\n' "$target" "$pkg" "$n" "$((SECONDS - begun))"
    else
      printf 'FAIL  %-24s %s\n' "$target" "$pkg"
      grep -v '^fuzz: elapsed' "$dir/out" || true
      failed=1
    fi
  done
done
exit $failed
