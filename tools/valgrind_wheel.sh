#!/bin/sh
# The Python package's core test under valgrind: no read or write of memory that is not the program's, by our library.
# What Python and NumPy leak is passed over: whatever names _cellshard counts, and every read or write of anybody.
#
# usage: valgrind_wheel.sh PYTHON
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Python's own allocator hides what is freed; valgrind runs all threads in turns.
PYTHONMALLOC=malloc valgrind --quiet --log-file="$log" --leak-check=full --show-leak-kinds=definite --num-callers=40 \
	--error-limit=no "$1" -m pytest --quiet -p no:cacheprovider python/tests/test_loader.py python/tests/test_order.py \
	python/tests/test_faults.py python/tests/test_store.py \
	-k "not memory_is_flat and not interpreter and not fork and not ctrl_c and not threads_iterate" || exit 1
# The loader of libraries reads strings by words, beyond their ends, which is no fault.
found=$(awk 'BEGIN { RS = "\n==[0-9]+== \n" } /_cellshard|Invalid (read|write|free)/ && !/dl-load/' "$log" | head -120)
if [ -n "$found" ]; then
	echo "$found"
	exit 1
fi
echo "valgrind: no invalid read or write, and nothing of _cellshard ($(grep -c 'definitely lost' "$log") leaks of others)"
