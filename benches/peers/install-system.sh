#!/bin/sh
# What the build of FFCV needs besides Python packages, from Debian's; asks for root where it has to install.
set -eu
packages="g++ libopencv-dev libturbojpeg0-dev pkg-config"
if dpkg-query --show --showformat='${Status}\n' $packages 2>/dev/null | grep -c '^install ok installed' | grep -qx 4; then exit 0; fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update --quiet=2
# shellcheck disable=SC2086
$as_root apt-get install --quiet=2 --no-install-recommends $packages
