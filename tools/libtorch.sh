#!/bin/sh
# Puts what is needed of libtorch 2.11.0 into DIR: DIR/include and DIR/lib, with the libraries for the CPU. Takes them,
# in this order, from $LIBTORCH, from an installed Python torch, or from PyPI's wheels. libtorch_cuda.so is left out on
# purpose: a binary linked here runs on the CPU, and looks for CUDA when it starts (train/src/device/).
# Usage: libtorch.sh DIR [PYTHON]
set -eu
VERSION=2.11.0
dir=$1
python=${2:-python3}

say() { echo "libtorch: $*" >&2; }
find_installed() {
    "$python" -c "import importlib.metadata as m, importlib.util as u
if m.version('torch').split('+')[0] == '$VERSION': print(u.find_spec('torch').submodule_search_locations[0])" 2>/dev/null
}

if [ "$(cat "$dir/build-version" 2>/dev/null)" = $VERSION ]; then exit 0; fi
rm -rf "$dir"
mkdir -p "$dir/lib"
dir=$(cd "$dir" && pwd)
source=${LIBTORCH:-}
[ -n "$source" ] || source=$(find_installed) || source=

if [ -n "$source" ]; then
    found=$(cat "$source/build-version" 2>/dev/null ||
        sed -n "s/^__version__ = '\(.*\)'/\1/p" "$source/version.py" 2>/dev/null) || true
    case "$found" in
        $VERSION*) ;;
        *) say "$source: expected libtorch $VERSION, found ${found:-none}"; exit 2 ;;
    esac
    say "from $source"
    # With LIBTORCH the loader finds what libtorch_cpu.so needs beside the real files, so that those are linked to.
    ln -s "$source/include" "$dir/include"
    for library in "$source"/lib/libtorch_cpu.so "$source"/lib/libc10.so "$source"/lib/libgomp*.so*; do
        [ ! -e "$library" ] || ln -s "$library" "$dir/lib/"
    done
    for package in "$source"/../nvidia/cu13/lib; do
        for library in "$package"/libcudart.so.13 "$package"/libcupti.so.13; do
            [ ! -e "$library" ] || ln -s "$library" "$dir/lib/"
        done
    done
else
    say "PyPI's torch $VERSION (530 MB), for the CPU"
    wheels=$(mktemp -d "$dir/wheels.XXXXXX")
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$wheels" \
        torch==$VERSION nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
    "$python" - "$wheels" "$dir" <<'PYTHON'
import pathlib
import sys
import zipfile

wheels, target = map(pathlib.Path, sys.argv[1:])
wanted = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"]
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = pathlib.PurePosixPath(member)
            if member.startswith("torch/include/") and not member.endswith("/"):
                place = target / path.relative_to("torch")
            elif path.name in wanted:
                place = target / "lib" / path.name
            else:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(place, "wb") as out:
                while block := source.read(1 << 20):
                    out.write(block)
missing = [name for name in wanted if not (target / "lib" / name).exists()]
if missing:
    sys.exit(f"libtorch: expected {', '.join(missing)} in the wheels, found none")
PYTHON
    rm -rf "$wheels"
fi

# torch-sys asks the linker for libtorch.so, which holds no code; linking the real one would pull in CUDA.
echo | ${CC:-cc} -shared -x c - -o "$dir/lib/libtorch.so"
echo $VERSION > "$dir/build-version"
