#!/usr/bin/env bash
# Builds wasm/pkg: padlock.wasm, its glue padlock.js and padlock.d.ts. Does nothing if the inputs
# have not changed. Needs rustup (which brings cargo) and `npm ci`; installs the rest.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
crate=$checkout/wasm
package=$crate/pkg
wasm_pack_version=0.15.1
wasm_bindgen_version=0.2.130
cache=${XDG_CACHE_HOME:-$HOME/.cache}/padlock

say() { printf 'wasm: %s\n' "$*"; }
fail() { printf 'wasm: %s\n' "$*" >&2; exit 1; }

inputs() {
  cd "$checkout"
  find wasm/src -name '*.rs' -print0 | LC_ALL=C sort -z |
    xargs -0 sha256sum wasm/Cargo.toml wasm/Cargo.lock rust-toolchain.toml \
      scripts/build-wasm.sh node_modules/binaryen/package.json | sha256sum | cut -d' ' -f1
}

[ -x "$checkout/node_modules/.bin/wasm-opt" ] || fail 'wasm-opt is missing; run npm ci first.'
wanted=$(inputs)
if [ "$(cat "$package/inputs.sha256" 2>/dev/null)" = "$wanted" ]; then
  say 'wasm/pkg is up to date'
  exit 0
fi

command -v rustup >/dev/null || fail 'rustup is missing; install it from https://rustup.rs.'

# Everything that rust-toolchain.toml names, if any of it is missing.
channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$checkout/rust-toolchain.toml")
if ! rustup target list --installed --toolchain "$channel" 2>/dev/null |
  grep -qx wasm32-unknown-unknown; then
  say "installing Rust $channel"
  rustup toolchain install "$channel" --profile minimal --no-self-update \
    --component clippy --component rustfmt --target wasm32-unknown-unknown
fi
export RUSTUP_TOOLCHAIN=$channel

# One version of a tool, built once into the cache. Some mirrors lack a crate from the lock file
# that the tool was published with, hence the second try.
install_tool() {
  local tool=$1 version=$2 root=$cache/$1-$2
  if ! [ -d "$root/bin" ]; then
    say "building $tool $version (two minutes, once)"
    cargo install "$tool" --version "=$version" --root "$root" --locked --quiet ||
      cargo install "$tool" --version "=$version" --root "$root" --quiet
  fi
  PATH=$root/bin:$PATH
}
install_tool wasm-pack "$wasm_pack_version"
install_tool wasm-bindgen-cli "$wasm_bindgen_version"
export PATH=$checkout/node_modules/.bin:$PATH

# The same bytes in every checkout, without any path of this machine. Never set
# curve25519_dalek_bits here: the 32-bit default is twice as fast in browsers.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
cargo fetch --quiet --locked --manifest-path "$crate/Cargo.toml"
flags=(
  "-Ctarget-feature=+simd128"
  "--remap-path-prefix=$checkout=/padlock"
  "--remap-path-prefix=$(rustc --print sysroot)=/rust"
)
for registry in "$cargo_home"/registry/src/*; do
  flags+=("--remap-path-prefix=$registry=/crates")
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
unset RUSTFLAGS

fresh=$crate/target/pkg-$$
trap 'rm -rf "$fresh"' EXIT
say 'building wasm/pkg'
wasm-pack --log-level warn build "$crate" --release --target web --out-dir "$fresh" \
  --out-name padlock --no-pack --no-gitignore -- --locked

rm -f "$fresh/padlock_bg.wasm.d.ts"
mv "$fresh/padlock_bg.wasm" "$fresh/padlock.wasm"
printf '{ "type": "module" }\n' >"$fresh/package.json"

for path in "$checkout" "$cargo_home" "${RUSTUP_HOME:-$HOME/.rustup}" "$HOME"; do
  if [ "${#path}" -gt 1 ] && grep -rqaF -- "$path/" "$fresh"; then
    fail "the build leaks the path $path"
  fi
done

printf '%s\n' "$wanted" >"$fresh/inputs.sha256"
rm -rf "$package"
mv "$fresh" "$package"
say "built: $(wc -c <"$package/padlock.wasm") bytes of wasm, $(wc -c <"$package/padlock.js") of glue"
