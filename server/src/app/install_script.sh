#!/bin/sh
# Puts the Muster agent on this Linux, or takes it away with --uninstall. Made by the server for who asks, with a
# bootstrap token inside: do not keep it.
#
# Nothing happens before the last line: a script that was cut off on its way does nothing.

server=@SERVER@
server_id=@SERVER_ID@
pin=@PIN@
arch=@ARCH@
sha256=@SHA256@
problem=@PROBLEM@
helper_sha256=@HELPER_SHA256@
program=@PROGRAM@
helper=@HELPER@
unit=@UNIT_FILE@
mesh_unit=@MESH_UNIT_FILE@
folder=/etc/muster
patience=90
new=

say() {
    printf 'muster: %s\n' "$*"
}

fail() {
    printf 'muster: %s\n' "$*" >&2
    exit 1
}

check_system() {
    [ "$(id -u)" = 0 ] || fail "this must run as root: put sudo before sh"
    [ "$(uname -s)" = Linux ] || fail "this is $(uname -s); the agent runs on Linux alone"
    [ "$(uname -m)" = "$arch" ] ||
        fail "this machine is $(uname -m), the server's agent is for $arch; have media built for it"
    [ -d /run/systemd/system ] || fail "this system was not started by systemd, which the agent needs"
    for tool in systemctl sha256sum mktemp; do
        command -v "$tool" >/dev/null || fail "$tool is missing; install it and run this again"
    done
    command -v curl >/dev/null || command -v wget >/dev/null || fail "curl or wget is missing; install one of them"
}

# What the running agent says of itself; fails when the machine is not registered.
standing() {
    [ -x "$program" ] && "$program" identity 2>/dev/null
}

registered_with() {
    standing | sed -n 's/.*"server_id":"\([^"]*\)".*/\1/p'
}

fetch() {
    if command -v curl >/dev/null; then
        curl -fsS --retry 3 --connect-timeout 20 -k --pinnedpubkey "$pin" -o "$2" "$1"
    else
        wget -q --tries=3 --timeout=20 --no-check-certificate --pinnedpubkey="$pin" -O "$2" "$1"
    fi
}

digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# put_program PATH SHA256: a program of the server's media, by its own name.
put_program() {
    if [ -f "$1" ] && [ "$(digest "$1")" = "$2" ]; then
        return
    fi
    (umask 022 && mkdir -p "${1%/*}")
    new=$(mktemp "$1.XXXXXX")
    fetch "$server/media/${1##*/}" "$new" || fail "cannot download ${1##*/} from $server"
    [ "$(digest "$new")" = "$2" ] || fail "what came from $server is not its ${1##*/}; nothing was installed"
    chmod 0755 "$new"
    "$new" --version >/dev/null || fail "${1##*/} does not run here; see the line above"
    mv -f "$new" "$1"
    new=
}

# The token is in here: nobody but root may read it, and the agent takes it out once it is used.
put_config() {
    mkdir -p "$folder"
    chmod 0700 "$folder"
    new=$(mktemp "$folder/agent.json.XXXXXX")
    cat >"$new" <<'MUSTER_CONFIG'
@CONFIG@
MUSTER_CONFIG
    mv -f "$new" "$folder/agent.json"
    new=
}

# put_unit PATH: its text from standard input.
put_unit() {
    new=$(mktemp "$1.XXXXXX")
    cat >"$new"
    chmod 0644 "$new"
    mv -f "$new" "$1"
    new=
}

put_units() {
    put_unit "$unit" <<'MUSTER_UNIT'
@UNIT@
MUSTER_UNIT
    put_unit "$mesh_unit" <<'MUSTER_UNIT'
@MESH_UNIT@
MUSTER_UNIT
    if command -v restorecon >/dev/null; then
        restorecon "$program" "$unit" "$mesh_unit" || say "the labels of SELinux are as they were"
    fi
    systemctl daemon-reload
    systemctl enable --quiet muster-agent.service muster-mesh.service
}

await_registration() {
    if ! told=$("$program" identity --wait "$patience" 2>&1); then
        say "the agent is installed and goes on trying; see journalctl -u muster-agent" >&2
        fail "${told#muster-agent: }"
    fi
    printf '%s\n' "$told"
}

install_agent() {
    [ -z "$problem" ] || fail "$problem"
    check_system
    known=$(registered_with || true)
    if [ -n "$known" ] && [ "$known" != "$server_id" ]; then
        fail "this machine is registered with the server $known; take that agent away first with --uninstall"
    fi
    put_program "$program" "$sha256"
    # For terminals alone; media of older builders have none.
    [ -z "$helper_sha256" ] || put_program "$helper" "$helper_sha256"
    # A machine that is registered keeps its configuration: it has no use for another token.
    [ -n "$known" ] || put_config
    put_units
    systemctl restart muster-agent.service
    await_registration
}

uninstall_agent() {
    [ "$(id -u)" = 0 ] || fail "this must run as root: put sudo before sh"
    if [ ! -e "$program" ] && [ ! -e "$unit" ] && [ ! -e "$folder" ]; then
        say "there is no agent here"
        return
    fi
    if [ -e "$unit" ]; then
        # Stopped, the agent says goodbye to its server.
        systemctl disable --quiet --now muster-agent.service || say "systemd did not stop the agent" >&2
    fi
    if [ -e "$mesh_unit" ]; then
        systemctl disable --quiet --now muster-mesh.service || say "systemd did not disable $mesh_unit" >&2
    fi
    if [ -x "$helper" ] && [ -d /var/lib/muster/mesh ]; then
        MUSTER_MESH_DIR=/var/lib/muster/mesh "$helper" mesh leave ||
            say "tunnels of its mesh network stay until this machine restarts" >&2
    fi
    if [ -x "$program" ]; then
        "$program" forget || fail "the agent's key stays; stop the agent and run this again"
    fi
    rm -f "$unit" "$mesh_unit" "$program" "$helper"
    rm -rf "$folder" /var/lib/muster /run/muster
    systemctl daemon-reload || say "systemd was not told" >&2
    say "the agent is gone; the server keeps the machine until somebody deletes it there"
}

main() {
    set -eu
    umask 077
    trap '[ -z "$new" ] || rm -f "$new"' EXIT
    trap 'exit 1' HUP INT TERM
    case "${1-}" in
    '') install_agent ;;
    --uninstall) uninstall_agent ;;
    *) fail "usage: sh -s -- [--uninstall]" ;;
    esac
}

{ main "$@"; }
