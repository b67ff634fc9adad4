#!/bin/sh
# Puts programs of target/release into PREFIX/lib/cellshard and one name on the PATH, PREFIX/bin/cellshard, a link to
# the one of them that runs the others. With `train predict` among them libtorch's libraries go beside them, where both
# look, so that nothing is needed of this folder any more. A libtorch that lies elsewhere (in an installed Python torch,
# or in $LIBTORCH) is linked to and not copied, as its CUDA half is looked for beside the real libtorch_cpu.so.
# Man pages and completions of target/pages go under PREFIX/share, where man, bash, zsh and fish look.
# Usage: install.sh PREFIX PROGRAM...    what of cellshard is there and not named is removed
#        install.sh PREFIX               removes all of it
set -eu
cd "$(dirname "$0")/.."
prefix=$1
shift
dir=$prefix/lib/cellshard

for path in "$dir"/*; do
    name=${path##*/}
    case "$name" in
        cellshard | simulate | pack | verify | stats | inspect | bench | train | predict | lib*.so*) ;;
        *) continue ;; # Not ours, and left alone.
    esac
    case " $* " in
        *" $name "*) ;;
        *) rm -f "$path" ;;
    esac
done
share=$prefix/share
bash=$share/bash-completion/completions
zsh=$share/zsh/site-functions
fish=$share/fish/vendor_completions.d
rm -f "$share/man/man1/cellshard.1" "$bash/cellshard" "$zsh/_cellshard" "$fish/cellshard.fish"
for name in simulate pack verify stats inspect bench train predict; do
    rm -f "$share/man/man1/cellshard-$name.1"
done
if [ $# -eq 0 ]; then
    # Folders that others use have more in them, and stay.
    for path in "$share/man/man1" "$bash" "$zsh" "$fish"; do
        if [ -d "$path" ]; then rmdir --ignore-fail-on-non-empty --parents "$path" 2> /dev/null || true; fi
    done
    rm -f "$prefix/bin/cellshard"
    if [ -d "$dir" ]; then rmdir --ignore-fail-on-non-empty "$dir"; fi
    exit 0
fi

mkdir -p "$prefix/bin" "$dir"
for name; do
    install "target/release/$name" "$dir/"
done
case " $* " in
    *" train predict "*)
        # They look beside themselves first and into this folder second, even for libc. The second is cut off, as CMake
        # does when it installs: who could make such a folder later could otherwise have them load any library.
        LC_ALL=C sed -i 's/\$ORIGIN:/$ORIGIN\x00/' "$dir/train" "$dir/predict"
        for library in .libtorch/lib/*.so*; do
            real=$(readlink -f "$library")
            case "$real" in
                */libtorch.so) ;; # There for the linker alone.
                "$PWD"/*) install -m 644 "$real" "$dir/${library##*/}" ;;
                *) ln -sfn "$real" "$dir/${library##*/}" ;;
            esac
        done
        ;;
esac
mkdir -p "$share/man/man1" "$bash" "$zsh" "$fish"
install -m 644 target/pages/man1/*.1 "$share/man/man1/"
install -m 644 target/pages/bash/cellshard "$bash/"
install -m 644 target/pages/zsh/_cellshard "$zsh/"
install -m 644 target/pages/fish/cellshard.fish "$fish/"
ln -sfn ../lib/cellshard/cellshard "$prefix/bin/cellshard"
echo "$prefix/bin/cellshard runs $*"
