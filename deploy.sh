#!/usr/bin/env bash
# Installs the control plane or a probe agent on a host over SSH, or brings it to this version. `./deploy.sh --help` says how.
exec bash "$(dirname "${BASH_SOURCE[0]}")/deploy/over-ssh.sh" "$@"
