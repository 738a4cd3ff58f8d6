# Sourced by scripts/demo and scripts/test: from a fresh clone to a Node that runs the TypeScript as it is.
# Runs on the bash 3.2 of macOS too. The caller has changed to the repository's directory and defines `fail TEXT`,
# which ends the script.

node_major_min=20 # what npm needs to install the packages; the scripts themselves run on the Node among them
npm_major_min=9   # came with Node 20
typescript_major_min=24

check_versions() {
  command -v node >/dev/null || fail "Node is missing: install Node $node_major_min or newer, see https://nodejs.org"
  command -v npm >/dev/null || fail "npm is missing: it comes with Node, see https://nodejs.org"
  local node npm
  node=$(node --version) || fail "node --version does not work: $(command -v node)"
  npm=$(npm --version 2>/dev/null) || fail "npm --version does not work: $(command -v npm)"
  is_at_least "${node#v}" "$node_major_min" || fail "Node is too old: $node, and it takes $node_major_min or newer"
  is_at_least "$npm" "$npm_major_min" || fail "npm is too old: $npm, and it takes $npm_major_min or newer"
}

# is_at_least VERSION MAJOR
is_at_least() {
  local major=${1%%.*}
  case $major in "" | *[!0-9]*) return 1 ;; esac
  [ "$major" -ge "$2" ]
}

# Quiet unless it fails.
install_packages() {
  if node scripts/lib/is-installed.js; then return; fi
  echo "installing the npm packages ..."
  install_log=$(mktemp "${TMPDIR:-/tmp}/hubferry-install-XXXXXX")
  local code=0
  run_npm ci || code=$?
  # A lock file that was made where a registry lacks packages for other platforms lacks them too. npm ci then refuses it,
  # although nothing that is needed here need be missing; npm install keeps to what it has, and --no-save leaves it as it is.
  if [ "$code" -ne 0 ] && grep -q EUSAGE "$install_log"; then
    code=0
    run_npm install --no-save || code=$?
  fi
  [ "$code" -eq 0 ] || cat "$install_log"
  rm -f "$install_log"
  [ "$code" -eq 0 ] || fail "npm could not install the packages (exit code $code)"
}

# Whatever this machine's npm leaves out by default: Node comes as an optional package, the tests' tools as development
# ones. It runs beside the shell, so that a signal gets through to it at once.
run_npm() {
  local code=0
  npm "$@" --include=optional --include=dev --no-progress </dev/null >"$install_log" 2>&1 &
  install_pid=$!
  wait "$install_pid" || code=$?
  install_pid=
  return "$code"
}

# For traps: ends an installation that is under way.
stop_install() {
  [ -n "${install_pid:-}" ] || return 0
  kill "$install_pid" 2>/dev/null || true
  wait "$install_pid" 2>/dev/null || true
  rm -f "$install_log"
}

# Puts the Node that npm brought, and the programs of the packages, first in PATH. The Node is one package a platform,
# not all of them named alike; where none runs here, this machine's own may do.
use_installed_node() {
  local own candidate
  own=$(command -v node)
  for candidate in node_modules/.bin/node node_modules/node-*/bin/node "$own"; do
    if [ -x "$candidate" ] && is_at_least "$("$candidate" -p process.versions.node 2>/dev/null)" "$typescript_major_min"
    then
      case $candidate in /*) ;; *) candidate=$PWD/$candidate ;; esac
      PATH=$(dirname "$candidate"):$PWD/node_modules/.bin:$PATH
      export PATH
      return
    fi
  done
  fail "no Node $typescript_major_min or newer runs here: npm installed none for $(uname -sm), and $own is $("$own" --version)"
}
