#!/usr/bin/env python3
"""What normalisation, two steps and an honest split are worth, on simulated plates: one table, one command.

For each seed a set is simulated (two cell types, three experiments each, of which one is the test set), packed, and a
ResNet-18 is trained for a few epochs under each normalisation. Accuracy is that of `predict` on the test experiments,
which no step of training or selection has seen; truth.csv of `simulate` tells what is right.

An interrupted benchmark goes on with the runs that it has in its work folder.

Usage: learning.py --bin target/release --json FILE [--seeds 3] [--work DIR]
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import time

SIMULATE = "--experiments HUVEC:3,RPE:3 --test-experiments 1 --plates 2 --wells 154 --sirnas 24 --size 64".split()
TRAIN = "--recipe demo --epochs 3 --batch 32 --device cpu".split()
NORMALIZATIONS = ["none", "global", "site", "experiment", "experiment-controls", "plate", "plate-controls"]
# Name in the table, flags of train.
RUNS = [(name, ["--normalize", name]) for name in NORMALIZATIONS]
RUNS += [
    ("plate-controls, robust", ["--normalize", "plate-controls", "--robust"]),
    # The second step trains three epochs more, from the best of the first.
    ("plate-controls, two steps", ["--normalize", "plate-controls", "--two-step", "--second-epochs", "3", "--second-lr", "3e-4"]),
]


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def predict(args, store, folder, *flags):
    command = [args.bin / "predict", "--shards", store, "--run", folder, "--device", "cpu", "--json", *flags]
    return json.loads(run(command))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target/learning"))
    args = parser.parse_args()
    results = []
    for seed in range(1, args.seeds + 1):
        work = args.work / str(seed)
        if not (work / "data").exists():
            run([args.bin / "simulate", "--dst", work / "data", "--seed", seed, *SIMULATE])
        run([args.bin / "pack", "--src", work / "data", "--dst", work / "shards", "--codec", "raw"])
        for name, flags in RUNS:
            start = time.time()
            folder = work / name.replace(", ", "-").replace(" ", "-")
            done = work / f"{folder.name}.done"
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                run([args.bin / "train", "--shards", work / "shards", "--run", folder, "--seed", seed, "--split-seed", seed,
                     *TRAIN, *flags])
                done.touch()
            validated = predict(args, work / "shards", folder, "--wells", "validation")
            found = predict(args, work / "shards", folder, "--truth", work / "data/truth.csv")
            results.append({
                "seed": seed,
                "run": name,
                "flags": flags,
                "validation_accuracy": validated["by_part"]["validation"]["all"]["accuracy"],
                "test_accuracy": found["by_part"]["unseen"]["all"]["accuracy"],
                "test_accuracy_site": found["by_part"]["unseen"]["all"]["accuracy_site"],
                "test_wells": found["by_part"]["unseen"]["all"]["n_wells"],
                "chance": found["chance"],
                "seconds": round(time.time() - start, 1),
            })
            print(json.dumps(results[-1]), flush=True)
    table = report(results)
    print(table)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({
        "command": "make learning",
        "simulate": " ".join(SIMULATE),
        "train": " ".join(TRAIN),
        "results": results,
        "table": table.splitlines(),
    }, indent=1) + "\n")


def report(results):
    def figure(rows, key):
        values = [100 * row[key] for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{statistics.mean(values):.1f} ± {spread:.1f}"

    lines = ["| normalize | validation wells | test wells | test sites |", "|---|---|---|---|"]
    for name, _ in RUNS:
        rows = [row for row in results if row["run"] == name]
        figures = [figure(rows, key) for key in ("validation_accuracy", "test_accuracy", "test_accuracy_site")]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    lines.append(f"\nPercent right; chance {100 * results[0]['chance']:.1f}; {results[0]['test_wells']} test wells a seed.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
