#!/usr/bin/env bash
# Takes a Go module across the gap on this one machine: bundles its whole closure, checks the bundle, builds the module
# from it with an unmodified go that can reach nothing else, and prints the settings to use on the far side.
#
#   examples/quickstart.sh            the module in examples/hello
#   examples/quickstart.sh DIRECTORY  a module of yours (it is not written to)
#
# Needs cargo and go; everything else it sets up itself. What it makes stays in a temporary directory that it names.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
project=$(cd "${1:-$here/examples/hello}" && pwd)
for tool in cargo go; do
  command -v "$tool" >/dev/null || { echo "error: $tool: not found on PATH; install it and start again" >&2; exit 2; }
done
step() { printf '\n== %s\n' "$*"; }

step "building modferry"
cargo build --quiet --release --manifest-path "$here/Cargo.toml" --package modferry
# Where cargo puts it depends on the user's settings.
target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/Cargo.toml" |
  sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
modferry=$target/release/modferry

drive=$(mktemp -d)
bundle=$drive/bundle

step "connected side: modferry bundle $project -o $bundle"
"$modferry" bundle "$project" -o "$bundle"

step "either side: modferry verify $bundle"
"$modferry" verify "$bundle"

step "isolated side: go build with an empty module cache, the bundle and no network"
eval "$("$modferry" env --for shell "$bundle")"
export GOMODCACHE=$drive/modcache GOPATH=$drive/gopath GOFLAGS=-modcacherw GOENV=off GOWORK=off
# go obeys this one everywhere; a network namespace denies the network to all programs where the system allows one.
export GODEBUG=cmdgonetlimit=0
deny=()
for flags in -rn -n; do
  if unshare "$flags" -- true 2>/dev/null; then deny=(unshare "$flags" --); break; fi
done
[ ${#deny[@]} -gt 0 ] || echo "(no network namespaces here: the network is denied to go alone)"
cd "$project"
${deny[@]+"${deny[@]}"} go build -mod=readonly -o /dev/null ./...
echo "go build ./...: ok"
if [ $# -eq 0 ]; then
  ${deny[@]+"${deny[@]}"} go run -mod=readonly .
fi

if [ $# -eq 0 ]; then
  step "isolated side: without a go.sum, go verifies every module against the checksum database that the bundle carries"
  mkdir "$drive/project" && cp "$project"/*.go "$project/go.mod" "$drive/project" && cd "$drive/project"
  export GOMODCACHE=$drive/modcache-2
  ${deny[@]+"${deny[@]}"} go mod download all
  echo "go mod download all: ok, $(grep -c . go.sum) lines of go.sum written"
fi
cd "$here"

step "the settings to use inside (modferry env $bundle)"
"$modferry" env "$bundle"

step "done: carry $bundle"
