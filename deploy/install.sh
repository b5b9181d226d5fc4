#!/bin/sh
# Puts one program of ProbeOps in place on this host, as root: `sh install.sh control-plane|probe-agent [--dry-run]`, from a folder that holds the
# program, its unit and its settings. Settings that stand already stay; a program that does not start gives way to the one before it.
set -eu

role=${1:-}
case $role in
    control-plane) settings=control-plane.env mode=0640 ;;
    probe-agent) settings=agent.toml mode=0644 ;;
    *)
        echo 'usage: sh install.sh control-plane|probe-agent [--dry-run]' >&2
        exit 2
        ;;
esac
dry_run=no
[ "${2:-}" != --dry-run ] || dry_run=yes
here=$(dirname "$0")
unit=$role.service
observer=probe-agent-observe.service

step() {
    echo "$1"
    shift
    [ "$dry_run" = yes ] || "$@"
}

stop_here() {
    echo "install: $1" >&2
    exit 1
}

preconditions() {
    [ "$(id -u)" = 0 ] || stop_here 'must run as root'
    [ -d /run/systemd/system ] || stop_here 'this host does not run systemd'
    [ -x "$here/$role" ] || stop_here "the program $role is not beside this script"
    # Says so where it is built for another processor or a newer C library.
    "$here/$role" --version >/dev/null || stop_here "the program $role does not run on this host"
}

settings_once() {
    [ -e "/etc/probeops/$settings" ] || install -m "$mode" "$here/$settings" "/etc/probeops/$settings"
}

bundle_once() {
    [ ! -e "$here/join-bundle" ] || install -m 0600 "$here/join-bundle" /etc/probeops/join-bundle
}

keep_previous() {
    [ ! -e "/usr/bin/$role" ] || cp -p "/usr/bin/$role" "/usr/bin/$role.previous"
}

put_program() {
    install -m 0755 "$here/$role" "/usr/bin/$role.new"
    mv -f "/usr/bin/$role.new" "/usr/bin/$role"
}

start() {
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    # The unit counts as started once the program says that it is ready.
    systemctl restart "$unit" && return
    journalctl --unit "$unit" --lines 20 --no-pager >&2 || true
    [ -e "/usr/bin/$role.previous" ] || stop_here "$unit did not start; the lines above say why"
    mv -f "/usr/bin/$role.previous" "/usr/bin/$role"
    systemctl restart "$unit" || true
    stop_here "$unit did not start with the new program; the one before is back"
}

# The observer is the same program; whoever wants it enables it, and then it is kept at the version of the agent.
renew_observer() {
    systemctl try-restart "$observer" || stop_here "$observer did not start; journalctl --unit $observer says why"
}

[ "$dry_run" = yes ] || preconditions
step '1. make /etc/probeops' install -d -m 0755 /etc/probeops
step "2. put /etc/probeops/$settings there, if there is none" settings_once
[ "$role" != probe-agent ] || step '   and /etc/probeops/join-bundle (mode 0600), if one came along' bundle_once
step "3. keep /usr/bin/$role as $role.previous, if there is one" keep_previous
step "4. put the program at /usr/bin/$role in one step" put_program
step "5. put the unit at /etc/systemd/system/$unit" install -m 0644 "$here/$unit" "/etc/systemd/system/$unit"
[ "$role" != probe-agent ] || step "   and $observer, which stays off until it is enabled" install -m 0644 "$here/$observer" "/etc/systemd/system/$observer"
step "6. enable and start $unit, wait until it says that it is ready, go back to the program before if it does not" start
[ "$role" != probe-agent ] || step "   and restart $observer, where it runs" renew_observer
[ "$dry_run" = yes ] || systemctl --no-pager --lines 0 status "$unit"
