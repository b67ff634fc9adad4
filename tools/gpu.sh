#!/bin/sh
# The checks and figures of a machine with a GPU, in one call: simulates the data there, packs, verifies, trains on CPU
# and GPU and compares, and writes JSON and logs into OUT. Needs the folder that `make bundle` makes (this script lies in
# it beside the programs) and Python's torch 2.11, from which libtorch is taken; no Rust.
# Usage: gpu.sh OUT
set -eu
bin=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out"
torch=$(python3 -c "import torch; assert torch.__version__.startswith('2.11.'), torch.__version__; print(torch.__path__[0])")
export LD_LIBRARY_PATH="$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader > "$out/gpu.txt"

"$bin/simulate" --dst "$work/data" --experiments HUVEC:3,RPE:3 --test-experiments 0 --plates 1 --wells 308 --sirnas 24 \
    --size 128 --json > "$out/simulate.json"
"$bin/pack" --src "$work/data" --dst "$work/shards" --codec raw --json > "$out/pack.json"
"$bin/verify" "$work/shards" --deep --json > "$out/verify.json"

# The first ten steps on CPU and GPU, without TF32: the losses agree to 1e-3.
for device in cpu cuda:0; do
    "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 --optimizer sgd --lr 1e-3 --schedule constant \
        --precision f32 --flip false --rotate90 false --gain 0 --offset 0 --batch 32 --epochs 1 --early-stopping none \
        --device "$device" --run "$work/first-$device" --max-steps 10 > "$out/first-$device.log" || [ $? -eq 75 ]
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
    "$bin/train" --shards "$work/shards" --recipe resnet50 --model resnet18 --epochs 8 --precision "$precision" --batch 64 \
        --early-stopping none --device cuda:0 --run "$work/$precision" --json > "$out/train-$precision.json" 2> "$out/train-$precision.log"
    "$bin/predict" --shards "$work/shards" --run "$work/$precision" --wells validation --device cuda:0 --json \
        > "$out/predict-$precision.json"
done
echo "written to $out"
