# Sourced by the commands beside it: from a bare checkout to installed packages and Node 24 on PATH.
# Needs npm, any Node from 20 on, and rustup; says in one sentence which of them is missing.

fail() {
  echo "$1" >&2
  exit 1
}

command -v node >/dev/null && command -v npm >/dev/null ||
  fail 'npm is missing: install Node.js 20 or newer, which brings it.'
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] ||
  fail "Node.js $(node --version) is too old: install version 20 or newer."
command -v rustup >/dev/null ||
  fail 'rustup is missing: install it from https://rustup.rs.'

if ! node dev/installed.mjs; then
  echo 'installing npm packages'
  # The machine's own Node only unpacks; the packages run on the Node 24 among them, so its age does not matter.
  npm ci --loglevel=error || fail 'npm ci failed: see its message above.'
fi

PATH="$PWD/node_modules/.bin:$PATH"
export PATH
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 18) ? 0 : 1)' ||
  fail "Install Node.js 22.18 or newer: npm has no Node.js for this platform, and $(node --version) is too old."
