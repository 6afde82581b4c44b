# Debian's packages, for .ci/setup and .ci/test-tools to source: installed as root, or through sudo
# where that asks no password; otherwise the one line to run is printed and the exit status is 1.

say() { printf 'setup: %s\n' "$*" >&2; }

stop() { say "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_be_root() {
    [ "$(id -u)" -eq 0 ] || { command -v sudo && sudo -n true; } >/dev/null 2>&1
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

need_packages() { # PACKAGE…
    command -v apt-get >/dev/null || stop "no apt-get here; install what Debian calls: $*"
    if ! may_be_root; then
        say "run this line, then repeat:"
        say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        exit 1
    fi
    say "installing $*"
    apt_install "$@" >/dev/null 2>&1 && return
    as_root apt-get update >&2 # the package lists may be missing or old
    apt_install "$@" >&2 || stop "apt-get could not install: $*"
}
