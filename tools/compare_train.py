"""What compare.py compares of train and predict: run folders, checkpoints, predictions."""

import shutil

from compare_views import view_run

CPU = ["--shards", "../old/zstd", "--device", "cpu", "--threads", "2"]
TINY = ["--model", "base-cnn", "--resize", "16", "--batch", "16"]
DEMO = [*CPU, "--recipe", "demo", "--epochs", "2", "--batch", "16", "--crop", "32"]
TWO_STEP = [*CPU, "--recipe", "two-step", *TINY, "--epochs", "2", "--second-epochs", "1"]
# All that a recipe can ask for beside, as a file.
EVERYTHING = """\
model = "base-cnn"
epochs = 2
batch = 8
accumulate = 2
seed = 7
precision = "f32"
controls = "all"
fold = "2/2"
batch-by = "plate"
normalize = "site"
robust = true
optimizer = "sgd"
lr = 1e-3
weight-decay = 1e-4
schedule = "exponential"
warmup-epochs = 0.5
label-smoothing = 0.1
clip-norm = 1.0
early-stopping = "accuracy"
flip = true
rotate90 = true
rotate = 15.0
scale = 0.1
translate = 0.1
perspective = 0.05
crop = 40
resize = 24
noise = 0.01
gain = 0.2
offset = 0.1
cutmix = 0.5
"""
NORMALIZATIONS = ["plate-controls", "plate", "experiment-controls", "experiment", "global", "none"]


def compare_train(run):
    run.both("train", *DEMO, "--run", "straight")
    run.folders("run folder straight", "straight", view_run)
    run.both("train", *DEMO, "--run", "stopped", "--max-steps", "5", code=75)
    run.folders("run folder stopped", "stopped", view_run)
    for side in run.sides:
        shutil.copytree(run.sides[0].folder / "stopped", side.folder / "taken-up")
    run.both("train", *CPU, "--run", "stopped", "--resume", "--json")
    run.folders("run folder resumed", "stopped", view_run)
    run.both("train", *CPU, "--run", "taken-up", "--resume")
    run.folders("run folder stopped by the old train and resumed by the new one", "taken-up", view_run)
    run.both("train", *CPU, "--run", "straight", "--resume", "--json")
    run.folders("run folder resumed after its end", "straight", view_run)

    run.both("train", *TWO_STEP, "--run", "two-step")
    run.folders("run folder of two steps", "two-step", view_run)
    # The first step has taken its last, so that it is the second step that is stopped.
    n_steps = sum(1 for _ in open(run.sides[0].folder / "two-step/steps.csv")) - 1
    run.both("train", *TWO_STEP, "--run", "two-step-stopped", "--max-steps", str(n_steps + 2), code=75)
    run.folders("run folder stopped in the second step", "two-step-stopped", view_run)
    run.both("train", *CPU, "--run", "two-step-stopped", "--resume", "--io", "pread")
    run.folders("run folder resumed in the second step", "two-step-stopped", view_run)

    (run.work / "everything.toml").write_text(EVERYTHING)
    flags = ["--recipe", "../everything.toml", "--verify", "always", "--io", "pread", "--json"]
    run.both("train", *CPU, *flags, "--run", "everything")
    run.folders("run folder of everything", "everything", view_run)
    start = ["--init-from", "../old/straight/last.safetensors", "--split", "well", "--optimizer", "adamw"]
    run.both("train", *DEMO, *start, "--run", "started")
    run.folders("run folder of a network that was trained before", "started", view_run)
    for normalize in NORMALIZATIONS:
        name = f"normalize-{normalize}"
        run.both("train", *CPU, *TINY, "--epochs", "1", "--normalize", normalize, "--run", name)
        run.folders(f"run folder --normalize {normalize}", name, view_run)
    flags = ["--recipe", "base-cnn", *TINY, "--split", "none", "--cell-type", "RPE", "--max-steps", "2"]
    run.both("train", *CPU, *flags, code=75)
    run.folders("run folder without a name", "runs/base-cnn-1", view_run)

    damaged = [*TINY, "--device", "cpu", "--threads", "2", "--epochs", "1", "--shards"]
    for side in run.sides:
        # Sites are damaged, and all listings are there.
        shutil.copytree(run.sides[0].folder / "zstd", side.folder / "damaged")
        shard = side.folder / "damaged/pixels.zarr/HUVEC-01/Plate1/c/0/0/0/0"
        content = bytearray(shard.read_bytes())
        content[len(content) // 3] ^= 1
        shard.write_bytes(content)
    run.both("train", *damaged, "damaged", "--run", "failed", code=1)
    run.folders("run folder that met damage", "failed", view_run)
    run.both("train", *damaged, "damaged", "--run", "left-out", "--skip-damaged")
    run.folders("run folder that left damage out", "left-out", view_run)

    run.both("train", *CPU, "--run", "straight", "--resume", "--lr", "1", code=2)
    run.both("train", *DEMO, "--run", "straight", code=2)
    run.both("train", *CPU, "--recipe", "resnet5", code=2)
    run.both("train", *CPU, "--normalize", "plates", code=2)
    run.both("train", *CPU, "--precision", "bf16", code=2)
    run.both("train", *CPU, "--run", "nowhere", "--resume", code=2)


def compare_predict(run):
    runs = {name: ["--run", *(f"../old/{run}" for run in name.split("+"))] for name in (
        "straight", "straight+two-step", "two-step", "everything", "stopped",
    )}
    truth = ["--truth", "../data/truth.csv"]
    for name, of in runs.items():
        base = name.replace("+", "-")
        out = f"{base}.csv"
        run.both("predict", *CPU, *of, *truth, "--out", out, writes=[out])
        probabilities = f"{base}.safetensors"
        run.both(
            "predict", *CPU, *of, *truth, "--tta", "8", "--probabilities", probabilities, "--json",
            writes=[probabilities, f"{probabilities}.csv"],
        )
        for embeddings in (f"{base}-embeddings.npy", f"{base}-embeddings.safetensors"):
            run.both(
                "predict", *CPU, *of, "--embeddings", embeddings, "--batch", "32",
                writes=[embeddings, f"{embeddings}.csv"],
            )
    straight = runs["straight"]
    like = ["--like", "../data/sample_submission.csv", "--out", "like.csv"]
    run.both("predict", *CPU, *straight, *like, writes=["like.csv"])
    for checkpoint in ("best-loss", "last"):
        run.both("predict", *CPU, *straight, *truth, "--checkpoint", checkpoint, "--tta", "2")
    for wells in ("validation", "all"):
        run.both("predict", *CPU, *straight, "--wells", wells, "--tta", "4", "--out", "out.csv", writes=["out.csv"])
    run.both("predict", *CPU, "--run", "nowhere", code=2)
    run.both("predict", *CPU, *straight, "--embeddings", "x.csv", code=2)
    run.both("predict", "--shards", "../old/store-rxrxai", "--device", "cpu", *straight, code=2)
