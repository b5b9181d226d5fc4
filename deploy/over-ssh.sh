#!/usr/bin/env bash
# Packs the program, its unit and its settings, sends them over SSH and has `install.sh` put them in place there.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: ./deploy.sh control-plane HOST [--agent-name NAME] [options]
       ./deploy.sh probe-agent   HOST --bundle FILE     [options]

Installs one program as a systemd service on HOST (`name`, `user@name`, an address; IPv6 in brackets), or brings it to this version.
What stands on the host already (settings, identity, database) stays as it is. Needs there: systemd 247 or newer, root or password-less sudo.

  --agent-name NAME   name or address by which agents reach the control plane (first install only); HOST without it
  --bundle FILE       the join bundle that the control plane printed (first install only)
  --program FILE      the program to install; target/release/<program> without it
  --port N            the SSH port; 22 without it
  --ssh-option TEXT   handed to ssh as `-o TEXT`; may be given several times
  --dry-run           say what would be done, and connect to nothing
TEXT
}

refuse() {
    printf 'deploy: %s\n' "$1" >&2
    exit 2
}

needs_value() {
    [ "$2" -ge 2 ] || refuse "$1 needs a value"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
role='' host='' agent_name='' bundle='' program='' port=22 dry_run=no
ssh_options=(-o BatchMode=yes -o ConnectTimeout=15)

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --agent-name) needs_value "$1" $#; agent_name=$2; shift 2 ;;
        --bundle) needs_value "$1" $#; bundle=$2; shift 2 ;;
        --program) needs_value "$1" $#; program=$2; shift 2 ;;
        --port) needs_value "$1" $#; port=$2; shift 2 ;;
        --ssh-option) needs_value "$1" $#; ssh_options+=(-o "$2"); shift 2 ;;
        --dry-run) dry_run=yes; shift ;;
        -*) refuse "unknown option $1; ./deploy.sh --help lists them" ;;
        *)
            if [ -z "$role" ]; then role=$1; elif [ -z "$host" ]; then host=$1; else refuse "one host at a time: $1 is too many"; fi
            shift
            ;;
    esac
done

name_grammar='^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$'
if [ -z "$role" ] || [ -z "$host" ]; then
    usage >&2
    exit 2
fi
case $role in
    control-plane) package=control-server ;;
    probe-agent) package=probe-agent ;;
    *) refuse 'the first word must be control-plane or probe-agent' ;;
esac
# Whatever reaches a shell on either side is one of these few shapes.
[[ $host =~ ^([a-z_][a-z0-9_-]*@)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)$ ]] || refuse 'HOST is neither a host name nor an address'
[[ $port =~ ^[1-9][0-9]{0,4}$ ]] || refuse '--port must be from 1 to 65535'
[ "$port" -le 65535 ] || refuse '--port must be from 1 to 65535'
[ -z "$agent_name" ] || [[ $agent_name =~ $name_grammar ]] || [[ $agent_name =~ ^[0-9A-Fa-f:]+$ ]] || refuse '--agent-name is neither a host name nor an address'
[ -z "$agent_name" ] || [ "$role" = control-plane ] || refuse '--agent-name belongs to control-plane'
[ -z "$bundle" ] || [ "$role" = probe-agent ] || refuse '--bundle belongs to probe-agent'
if [ -n "$bundle" ]; then
    [ -r "$bundle" ] || refuse "cannot read the join bundle $bundle"
    head --bytes=20 "$bundle" | grep --quiet '^probeops-join://' || refuse "$bundle does not hold a join bundle"
fi

# ssh and certificates take an IPv6 address without its brackets.
destination=${host/\[/}
destination=${destination/\]/}
[ "$role" != control-plane ] || agent_name=${agent_name:-${destination#*@}}
program=${program:-$here/target/release/$role}
unpack="set -eu; umask 077; d=\$(mktemp -d); trap 'rm -rf \"\$d\"' EXIT; tar -xf - -C \"\$d\"; s=; [ \"\$(id -u)\" = 0 ] || s='sudo -n'; \$s sh \"\$d/install.sh\" $role"

if [ "$dry_run" = yes ]; then
    settings=", deploy/systemd/probe-agent-observe.service, deploy/agent.toml${bundle:+, the join bundle (mode 0600, by standard input only)}"
    [ "$role" != control-plane ] || settings=", deploy/control-plane.env (PROBEOPS_AGENT_NAMES=$agent_name)"
    cat <<TEXT
deploy: nothing is done; this would be:
  1. take the program     $program$([ -x "$program" ] || printf ' (missing: cargo build --release --locked --package %s)' "$package")
  2. pack it with         deploy/install.sh, deploy/systemd/$role.service$settings
  3. send it              ssh ${ssh_options[*]} -p $port -- $destination
  4. there, as root       sh install.sh $role, which would:
TEXT
    sh "$here/deploy/install.sh" "$role" --dry-run | sed 's/^/       /'
    exit 0
fi

[ -x "$program" ] || refuse "there is no program at $program: cargo build --release --locked --package $package"
parcel=$(mktemp -d)
trap 'rm -rf "$parcel"' EXIT
umask 077
cp "$here/deploy/install.sh" "$here/deploy/systemd/$role.service" "$parcel/"
cp "$program" "$parcel/$role"
if [ "$role" = control-plane ]; then
    cp "$here/deploy/control-plane.env" "$parcel/"
    printf 'PROBEOPS_AGENT_NAMES=%s\n' "$agent_name" >>"$parcel/control-plane.env"
else
    cp "$here/deploy/agent.toml" "$here/deploy/systemd/probe-agent-observe.service" "$parcel/"
    [ -z "$bundle" ] || cp "$bundle" "$parcel/join-bundle"
fi
tar -cf - -C "$parcel" . | ssh "${ssh_options[@]}" -p "$port" -- "$destination" "$unpack"
