#!/bin/sh
# The checks and figures of a machine with a GPU. Simulates the data there, packs, verifies, measures, and writes all
# results and logs into one JSON file in OUT. Needs the folder that `make bundle` makes (this script lies in it beside the
# programs) and Python's torch 2.11, from which libtorch is taken; no Rust. Each part is meant to end within ten minutes.
#
# Usage: gpu.sh check OUT    the first losses on CPU and GPU agree; bfloat16 learns as TF32 does
#        gpu.sh speed OUT    on 20 GB of pixels: the real run beside the device's ceiling, raw and zstd, all cores and four
#        gpu.sh peers OUT    PyTorch on the same device: eager, compiled, with a profile, and from PNGs (needs cv2)
#
# What is expected of `speed`: share >= 0.98 for ResNet-50 and >= 0.95 for ResNet-18, in bfloat16.
set -eu
part=$1
bin=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
results=$(cd "$2" && pwd)
torch=$(python3 -c "import torch; assert torch.__version__.startswith('2.11.'), torch.__version__; print(torch.__path__[0])")
export LD_LIBRARY_PATH="$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
work=$(mktemp -d)
out=$work/out
mkdir "$out"
trap 'rm -rf "$work"' EXIT
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader > "$out/gpu.txt"

check() {
    "$bin/simulate" --dst "$work/data" --experiments HUVEC:3,RPE:3 --test-experiments 0 --plates 1 --wells 308 --sirnas 24 \
        --size 128 --json > "$out/simulate.json"
    "$bin/pack" --src "$work/data" --dst "$work/shards" --codec raw --json > "$out/pack.json"
    "$bin/verify" "$work/shards" --deep --json > "$out/verify.json"

    # The first ten steps on CPU and GPU, without TF32: the losses agree to 1e-3.
    for device in cpu cuda:0; do
        "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 --optimizer sgd --lr 1e-3 \
            --schedule constant --precision f32 --flip false --rotate90 false --gain 0 --offset 0 --batch 32 --epochs 1 \
            --early-stopping none --device "$device" --run "$work/first-$device" --max-steps 10 \
            > "$out/first-$device.log" || [ $? -eq 75 ]
        cp "$work/first-$device/steps.csv" "$out/losses-$device.csv"
    done
    python3 - "$out" > "$out/losses.json" <<'PYTHON'
import csv, json, sys
rows = [[float(r["loss"]) for r in csv.DictReader(open(f"{sys.argv[1]}/losses-{d}.csv"))] for d in ("cpu", "cuda:0")]
worst = max(abs(a - b) / abs(a) for a, b in zip(*rows))
print(json.dumps({"cpu": rows[0], "gpu": rows[1], "largest_relative_difference": worst, "goal": 1e-3}))
PYTHON

    # bfloat16 learns as well as TF32.
    for precision in tf32 bf16; do
        "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 --epochs 8 --precision "$precision" \
            --batch 64 --early-stopping none --device cuda:0 --run "$work/$precision" --json \
            > "$out/train-$precision.json" 2> "$out/train-$precision.log"
        "$bin/predict" --shards "$work/shards" --run "$work/$precision" --wells validation --device cuda:0 --json \
            > "$out/predict-$precision.json"
    done
}

# Raw pixels of 21.5 GB: 24 plates of 570 sites of 6 x 512 x 512, in two cell types.
pack_large() {
    "$bin/simulate" --dst "$work/data" --experiments HUVEC:3,RPE:3 --test-experiments 0 --plates 4 --wells 285 --json \
        > "$out/simulate.json"
    "$bin/pack" --src "$work/data" --dst "$work/zstd" --codec zstd:3 --json > "$out/pack-zstd.json"
    "$bin/pack" --src "$work/zstd" --dst "$work/raw" --codec raw --json > "$out/transcode-raw.json"
    "$bin/verify" "$work/raw" --json > "$out/verify-raw.json"
}

speed() {
    pack_large
    "$bin/bench" --shards "$work/raw" --feed-only --json --seconds 0.5 --rounds 1 > "$out/feed-raw.json"
    for model in resnet50 resnet18; do
        for codec in raw zstd; do
            for cores in all 4; do
                pin=
                [ "$cores" = all ] || pin="taskset --cpu-list 0-$((cores - 1))"
                # An epoch of reading first, so that the store is in memory as it is from the second epoch on.
                cat "$work/$codec"/pixels.zarr/*/*/c/*/0/0/0 > /dev/null
                # $pin is a command and its arguments.
                # shellcheck disable=SC2086
                $pin "$bin/bench" --shards "$work/$codec" --steps-only --recipe resnet50 --model "$model" \
                    --precision bf16 --batch 64 --optimizer adamw --device cuda:0 --rounds 2 --warmup 10 --steps 40 --json \
                    > "$out/steps-$model-$codec-$cores.json"
            done
        done
    done
    # Time from start to the first step, and the GPU's memory, as a run reports them.
    "$bin/train" --shards "$work/raw" --recipe resnet50 --precision bf16 --device cuda:0 --run "$work/run" --max-steps 60 \
        --json > "$out/train-resnet50.json" 2> "$out/train-resnet50.log" || [ $? -eq 75 ]
}

peers() {
    for model in resnet50 resnet18; do
        python3 "$bin/train_torch.py" --source resident --model "$model" --batch 64 --steps 40 --warmup 10 --device cuda \
            --profile "$out/profile-$model-eager.txt" --json "$out/torch-$model-eager.json"
        python3 "$bin/train_torch.py" --source resident --model "$model" --batch 64 --steps 40 --warmup 10 --device cuda \
            --compile default --profile "$out/profile-$model-compiled.txt" --json "$out/torch-$model-compiled.json"
    done
    if python3 -c 'import cv2'; then
        "$bin/simulate" --dst "$work/data" --experiments BENCH:1 --plates 1 --json > "$out/simulate-png.json"
        taskset --cpu-list 0-3 python3 "$bin/train_torch.py" --source png --plate "$work/data/train/BENCH-01/Plate1" \
            --workers 4 --model resnet50 --batch 64 --steps 20 --warmup 5 --device cuda --json "$out/torch-resnet50-png.json"
    fi
}

case "$part" in
    check | speed | peers) ;;
    *) echo "gpu.sh: expected check, speed or peers, found $part" >&2; exit 2 ;;
esac
# What was measured before something failed is worth keeping; the exit code still tells.
set +e
(set -e; "$part")
code=$?
set -e
python3 - "$out" "$results/$part.json" "$bin/gpu.sh $part" "$code" <<'PYTHON'
import json, pathlib, sys
found = {"command": sys.argv[3], "exit_code": int(sys.argv[4])}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    text = path.read_text(errors="replace")
    try:
        found[path.name] = json.loads(text)
    except ValueError:
        found[path.name] = text.splitlines()
pathlib.Path(sys.argv[2]).write_text(json.dumps(found, indent=2) + "\n")
PYTHON
echo "written to $results/$part.json"
exit "$code"
