#!/bin/sh
# Runs a command with its temporary folders in memory, where /dev/shm has room for them and lets programs run; what lies
# there goes when the command ends. libtorch's threads sleep while they wait, as tests side by side have more of them than
# there are cores.
# Usage: in_memory.sh COMMAND [ARGUMENT...]
set -eu
folder=
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
n_gb=$(df --output=avail --block-size=1G /dev/shm 2> /dev/null | tail -n 1)
if [ "${n_gb:-0}" -ge 4 ] && folder=$(mktemp -d /dev/shm/cellshard-tests.XXXXXX); then
    printf '#!/bin/sh\n' > "$folder/program"
    chmod +x "$folder/program"
    if ! "$folder/program" 2> /dev/null; then
        rm -rf "$folder"
        folder=
    fi
fi
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
fi
TMPDIR=$folder OMP_WAIT_POLICY=passive "$@"
