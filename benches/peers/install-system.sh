#!/bin/sh
# What the build of FFCV needs besides Python packages.
set -eu
apt-get update --quiet=2
apt-get install --quiet=2 --no-install-recommends g++ libopencv-dev libturbojpeg0-dev pkg-config
