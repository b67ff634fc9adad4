#!/bin/sh
# Proves what `make install` promises, on what is built: one name on the PATH, a folder that can be moved, and programs
# that need nothing of this one. The loader is asked for every place that it looks at, libtorch's included; that the
# clone is really gone cannot be tried without harm to it.
# Usage: check_install.sh
set -eu
clone=$(cd "$(dirname "$0")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "check-install: $*" >&2; exit 1; }

unset MAKEFLAGS
make --silent --directory "$clone" install PREFIX="$work/as installed" > /dev/null
mkdir "$work/other" "$work/gone"
mv "$work/as installed" "$work/other/place"
place=$work/other/place
cd "$work/gone"
rmdir "$work/gone"
export PATH="$place/bin:$PATH" LC_ALL=C
unset LD_LIBRARY_PATH

# In a folder that was deleted, whatever does not need libtorch runs.
[ "$(ls "$place/bin")" = cellshard ] || fail "expected one name, found: $(ls "$place/bin")"
n=$(cellshard --help | grep -cE '^  (simulate|pack|verify|stats|bench|train|predict) ')
[ "$n" = 7 ] || fail "expected seven programs, found $n"
cellshard simulate --dst "$work/data" --experiments HUVEC:3 --plates 1 --wells 48 --sirnas 4 --size 32 > /dev/null
cellshard pack --src "$work/data" --dst "$work/shards" > /dev/null
cellshard verify "$work/shards" --deep > /dev/null
for name in simulate pack verify stats bench train predict; do
    [ -s "$place/share/man/man1/cellshard-$name.1" ] || fail "expected a man page of $name"
done
if [ -n "$(command -v man)" ]; then
    for page in "$place"/share/man/man1/*.1; do
        warnings=$(cd / && LC_ALL=C.UTF-8 man --warnings --local-file "$page" 2>&1 > /dev/null)
        [ -z "$warnings" ] || fail "man of $page: $warnings"
    done
fi
# What bash offers after some words.
offered=$(cd / && bash -c 'source "$0"; COMP_WORDS=(cellshard train --warmup-e); COMP_CWORD=2; COMPREPLY=()
    _cellshard cellshard --warmup-e train; echo "${COMPREPLY[*]}"
    COMP_WORDS=(cellshard pre); COMP_CWORD=1; COMPREPLY=(); _cellshard cellshard pre cellshard; echo "${COMPREPLY[*]}"' \
    "$place/share/bash-completion/completions/cellshard")
[ "$offered" = "$(printf '%s\n' --warmup-epochs predict)" ] || fail "bash offers: $offered"
for file in zsh/site-functions/_cellshard fish/vendor_completions.d/cellshard.fish; do
    grep -q 'second-epochs' "$place/share/$file" || fail "expected flags of train in $file"
done
for name in cellshard simulate pack verify stats bench; do
    if grep -aqF "$clone" "$place/lib/cellshard/$name"; then fail "$name names $clone"; fi
done

cd "$work"
LD_DEBUG=files,libs LD_DEBUG_OUTPUT=$work/loader \
    cellshard train --shards "$work/shards" --recipe demo --epochs 1 --run run > train.txt
grep -q '^finished after 1 epoch' train.txt || fail "train did not finish"
LD_DEBUG=files,libs LD_DEBUG_OUTPUT=$work/loader \
    cellshard predict --shards "$work/shards" --run run --out submission.csv > predict.txt
grep -q '^written' predict.txt || fail "predict wrote nothing"
grep -qF "calling init: $place/lib/cellshard/libtorch_cpu.so" loader.* || fail "expected libtorch in $place"
if grep -F "$clone/" loader.*; then fail "the loader looked into $clone"; fi

rm -rf "$clone/target/pages"
"$clone/target/release/cellshard" --pages "$clone/target/pages"
"$clone/tools/install.sh" "$place" cellshard simulate pack verify stats bench > /dev/null
cellshard verify "$work/shards" > /dev/null
left=$(find "$place/bin" "$place/lib" ! -type d)
[ ! -e "$place/share/man/man1/cellshard-train.1" ] || fail "expected no page of what is not installed"
[ "$(echo "$left" | wc -l)" = 7 ] || fail "expected six programs and a link, found: $left"
touch "$place/lib/cellshard/notes"
make --silent --directory "$clone" uninstall PREFIX="$place"
left=$(find "$place" ! -type d)
[ "$left" = "$place/lib/cellshard/notes" ] || fail "expected only what is not ours to be left, found: $left"
echo "check-install: one name, moved, with no use of $clone"
