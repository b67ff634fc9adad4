#!/bin/sh
# The checks and figures of a machine with a GPU. Simulates the data there, packs, verifies, measures, and writes all
# results and logs into one JSON file in OUT. Needs the folder that `make bundle` makes (this script lies in it beside the
# programs) and Python's torch 2.11, from which libtorch is taken; no Rust. Each part is meant to end within ten minutes.
#
# Usage: gpu.sh check OUT    the first losses on CPU and GPU agree; bfloat16 learns as TF32 does; Python's batches arrive
#                            whole
#        gpu.sh speed OUT    on 7 GB of pixels: the real run beside the device's ceiling, raw and zstd, all cores and four
#        gpu.sh peers OUT    PyTorch on the same device: eager, compiled, with a profile, and from PNGs (needs cv2)
#
# Once SECONDS_AT_MOST (default 500) are over no further measurement begins; those left out are named.
#
# What is expected of `speed`: share >= 0.98 for ResNet-50 and >= 0.95 for ResNet-18, in bfloat16.
set -eu
case "$1" in
    check | speed | peers) part=$1 ;;
    *) echo "gpu.sh: expected check, speed or peers, found $1" >&2; exit 2 ;;
esac
bin=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
results=$(cd "$2" && pwd)
torch=$(python3 -c "import torch; assert torch.__version__.startswith('2.11.'), torch.__version__; print(torch.__path__[0])")
nvidia=$torch/../nvidia
export LD_LIBRARY_PATH="$torch/lib:$nvidia/cu13/lib:$nvidia/cudnn/lib:$nvidia/nccl/lib:$nvidia/nvshmem/lib:$nvidia/cusparselt/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
work=$(mktemp -d)
out=$work/out
mkdir "$out"
trap 'rm -rf "$work"' EXIT
# Not left to fill the disk where time runs out.
trap 'exit 143' INT TERM
began=$(date +%s)
limit=${SECONDS_AT_MOST:-500}
failed=0
four=$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:4], sep=",")')

# Puts all that was measured so far into one file, whole or not at all.
collect() {
    python3 - "$out" "$results/$part.json" "gpu.sh $part OUT" "$failed" <<'PYTHON'
import json, os, pathlib, sys
found = {"command": sys.argv[3], "failed": int(sys.argv[4])}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    text = path.read_text(errors="replace")
    try:
        found[path.name] = json.loads(text)
    except ValueError:
        found[path.name] = text.splitlines()
pathlib.Path(sys.argv[2] + ".tmp").write_text(json.dumps(found, indent=2) + "\n")
os.replace(sys.argv[2] + ".tmp", sys.argv[2])
PYTHON
}

# measure NAME COMMAND...: its output as NAME.json, its notes as NAME.log; a failure is noted, and what follows still runs.
# Stopping in time (75) is no failure.
measure() {
    name=$1
    shift
    code=0
    "$@" > "$out/$name.json" 2> "$out/$name.log" || code=$?
    if [ "$code" -ne 0 ] && [ "$code" -ne 75 ]; then
        failed=$((failed + 1))
        echo "exit code $code" >> "$out/$name.log"
    fi
    collect
}

# As `measure`, unless the time is over.
measure_in_time() {
    if [ $(($(date +%s) - began)) -lt "$limit" ]; then
        measure "$@"
    else
        echo "$1" >> "$out/left-out.txt"
        failed=$((failed + 1))
        collect
    fi
}

# compare NAME RUN RUN: the first losses of two runs. Differences of the last bit grow about twofold a step, so that only the
# first five tell rounding from a fault; the others are written down.
compare() {
    python3 - "$work/$2/steps.csv" "$work/$3/steps.csv" > "$out/$1.json" <<'PYTHON' || failed=$((failed + 1))
import csv, json, sys
rows = [[float(row["loss"]) for row in csv.DictReader(open(path))][:10] for path in sys.argv[1:]]
assert len(rows[0]) == len(rows[1]) == 10, rows
apart = [abs(a - b) / abs(a) for a, b in zip(*rows)]
worst = max(apart[:5])
print(json.dumps({"losses": rows, "relative_differences": apart, "largest_of_five": worst, "goal": 2e-4}))
sys.exit(worst > 2e-4)
PYTHON
    collect
}

plain="--optimizer sgd --lr 1e-3 --schedule constant --precision f32 --flip false --rotate90 false --gain 0 --offset 0
    --epochs 1 --early-stopping none --max-steps 10"

# $plain is a list of flags.
# shellcheck disable=SC2086
check() {
    measure simulate "$bin/simulate" --dst "$work/data" --experiments HUVEC:3,RPE:3 --test-experiments 0 --plates 1 \
        --wells 308 --sirnas 24 --size 128 --json
    measure pack "$bin/pack" --src "$work/data" --dst "$work/shards" --codec raw --json
    measure verify "$bin/verify" "$work/shards" --deep --json
    # The first ten steps on CPU and GPU, without TF32.
    for device in cpu cuda:0; do
        measure "first-$device" "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 $plain --batch 32 \
            --device "$device" --run "$work/first-$device" --json
    done
    compare losses-cpu-gpu first-cpu first-cuda:0
    # The same first steps with and without anything at the same time, on batches that take long to copy: one that comes
    # too early would show.
    measure simulate-large "$bin/simulate" --dst "$work/data-large" --experiments HUVEC:3,RPE:3 --test-experiments 0 \
        --plates 1 --wells 160 --sirnas 24 --json
    measure pack-large "$bin/pack" --src "$work/data-large" --dst "$work/large" --codec raw --json
    measure apart env CUDA_LAUNCH_BLOCKING=1 "$bin/train" --shards "$work/large" --recipe resnet50 --model resnet18 \
        $plain --batch 64 --device cuda:0 --run "$work/apart" --json
    measure together "$bin/train" --shards "$work/large" --recipe resnet50 --model resnet18 $plain --batch 64 \
        --device cuda:0 --run "$work/together" --json
    compare losses-apart-together apart together
    # bfloat16 learns as well as TF32.
    for precision in tf32 bf16; do
        measure "train-$precision" "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 --epochs 8 \
            --precision "$precision" --batch 64 --early-stopping none --device cuda:0 --run "$work/$precision" --json
        measure "predict-$precision" "$bin/predict" --shards "$work/shards" --run "$work/$precision" --wells validation \
            --tta 8 --embeddings "$work/embeddings-$precision.npy" --device cuda:0 --json
    done
    # Everything else that runs on the device, and going on where a run stopped.
    measure all "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 --epochs 2 --batch 64 --cutmix 0.5 \
        --noise 0.01 --rotate 10 --perspective 0.05 --clip-norm 1 --normalize site --robust true --early-stopping none \
        --device cuda:0 --run "$work/all" --max-steps 5 --json
    measure all-resumed "$bin/train" --shards "$work/shards" --resume --run "$work/all" --device cuda:0 --json
    # Python's loader: what arrives on the device is the store's.
    mkdir "$work/python"
    measure wheel python3 -m zipfile --extract "$bin"/cellshard-*.whl "$work/python"
    measure loader env PYTHONPATH="$work/python" python3 "$bin/loader_on_device.py" "$work/large" --device cuda:0
}

# shellcheck disable=SC2086
speed() {
    # Raw pixels of 7.2 GB: 24 plates of 190 sites of 6 x 512 x 512, in two cell types; more than the four buffers and any
    # cache of a processor hold by far, and every epoch but the first reads from memory either way.
    df -h "$work" > "$out/df.txt"
    measure simulate "$bin/simulate" --dst "$work/data" --experiments HUVEC:3,RPE:3 --test-experiments 0 --plates 4 \
        --wells 95 --json
    measure pack-zstd "$bin/pack" --src "$work/data" --dst "$work/zstd" --codec zstd:3 --json
    rm -rf "$work/data"
    measure transcode-raw "$bin/pack" --src "$work/zstd" --dst "$work/raw" --codec raw --json
    measure verify-raw "$bin/verify" "$work/raw" --json
    # Time from start to the first step, and the GPU's memory, as a run reports them.
    measure train-resnet50 "$bin/train" --shards "$work/raw" --recipe resnet50 --precision bf16 --device cuda:0 \
        --run "$work/run" --max-steps 40 --json
    # What matters most comes first.
    for what in resnet50:raw:all resnet18:raw:all resnet50:raw:4 resnet18:raw:4 resnet50:zstd:all resnet18:zstd:all \
        resnet18:zstd:4 resnet50:zstd:4; do
        model=${what%%:*} codec=${what#*:} cores=${what##*:}
        codec=${codec%:*}
        pin=
        [ "$cores" = all ] || pin="taskset --cpu-list $four"
        # In memory, as a store is from the second epoch on; each site is still verified when it is first read.
        cat "$work/$codec"/pixels.zarr/*/*/c/*/0/0/0 > /dev/null || true
        measure_in_time "steps-$model-$codec-$cores" $pin "$bin/train" --shards "$work/$codec" --bench \
            --steps-only --recipe resnet50 --model "$model" --precision bf16 --batch 64 --optimizer adamw \
            --device cuda:0 --rounds 2 --warmup 10 --steps 40 --json
        # PyTorch beside it, on the same card.
        if [ "$codec:$cores" = raw:all ]; then
            measure_in_time "torch-$model-eager" python3 "$bin/train_torch.py" --source resident --model "$model" \
                --batch 64 --steps 40 --warmup 10 --device cuda
        fi
    done
}

peers() {
    # What matters most comes first.
    for model in resnet50 resnet18; do
        measure_in_time "torch-$model-compile-default" python3 "$bin/train_torch.py" --source resident --model "$model" \
            --batch 64 --steps 40 --warmup 10 --device cuda --compile default \
            --profile "$out/profile-$model-compile-default.txt"
    done
    if python3 -c 'import cv2'; then
        measure simulate "$bin/simulate" --dst "$work/data" --experiments BENCH:1 --plates 1 --json
        measure_in_time torch-resnet50-png taskset --cpu-list "$four" python3 "$bin/train_torch.py" --source png \
            --plate "$work/data/train/BENCH-01/Plate1" --workers 4 --model resnet50 --batch 64 --steps 40 --warmup 20 \
            --device cuda
    fi
    # Eager, and whether the first convolution is faster with its six channels padded to eight.
    for model in resnet50 resnet18; do
        measure_in_time "torch-$model-compile-off" python3 "$bin/train_torch.py" --source resident --model "$model" \
            --batch 64 --steps 40 --warmup 10 --device cuda --compile off --profile "$out/profile-$model-compile-off.txt"
        measure_in_time "torch-$model-eager-8-channels" python3 "$bin/train_torch.py" --source resident --model "$model" \
            --channels 8 --batch 64 --steps 40 --warmup 10 --device cuda
    done
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader > "$out/gpu.txt"
"$part"
collect
echo "written to $results/$part.json ($failed failures)"
[ "$failed" -eq 0 ]
