# make demo        the main job on simulated data: simulate, pack, verify, stats, train, predict
# make test        every test; installs what it needs into target/, .libtorch/ and .venv/
# make faults      every file-system call of pack and verify fails in turn, and is killed there (needs strace; minutes)
# make lint        formatting and clippy, warnings denied, with and without the trainer
# make libtorch    libtorch 2.11.0 into .libtorch/, from $LIBTORCH, an installed Python torch, or PyPI
# make install     all programs and libtorch into PREFIX/lib/cellshard, one name into PREFIX/bin (PREFIX=~/.local)
# make install-without-train   the same for what needs no libtorch; make uninstall removes either
# make man completions   man pages, and completions for bash, zsh and fish, into target/pages/; make install has them
# make check-install   installs into a temporary folder, and shows that nothing of this one is needed then
# make bundle      the programs and a script into dist/, to be run on a GPU box with Python's torch 2.11 and no Rust
# make wheel       the Python package into target/wheels/; pip install ./python builds it, too
# make test-torch-python   the Python package with PyTorch, weights to torchvision and back; installs torch into .venv-torch/ (5 GB)
# make valgrind-wheel      the Python package's core under valgrind (minutes)
# make fuzz        the fuzz targets, each for SECONDS=1200; needs nightly and cargo-fuzz (fuzz/README.md)
# make learning    what normalisation, two steps and an honest split are worth on simulated plates (half an hour)
# make bench-pack  packing and verifying beside their limits and a Python packer, in one run
# make bench-feed  reading beside its limits and other readers, in one run; installs 6 GB of them into .venv-peers/
# make bench-codec what plates become by each lossless codec, and how fast, on one core in one process (ten minutes)
# make bench-page  how long the page of a store with all of RxRx1's plates takes, real tables and small images; on /dev/shm
# make bench-sites what the programs keep in memory of each of a million sites; on /dev/shm
# make bench-by-hand   what is made by hand beside the crate that would do it: shards beside zarrs, orders beside rand
# make real          what pack says of a tree of RxRx1 in which nearly all is absent (REAL=DIR)
# make readme-picture  docs/simulated-site.png
# make contact-sheet   simulated sites beside real ones, as target/contact-sheet.png
# make compressibility how simulated and real sites compress, and what their channels look like in figures

PYTHON ?= python3
BIN := target/release
DEMO := target/demo
REAL ?= ../shared/data/rxrx1/raw
# Real plates of microscopes, for the Python tests.
PLATES ?= ../shared/data/plates
WHEEL = target/wheels/*.whl
RUNS := benches/runs/$(shell date +%F)
PREFIX ?= $(HOME)/.local
# What needs no libtorch, and the rest.
PROGRAMS := cellshard simulate pack verify stats inspect bench
TRAINER := train predict

.PHONY: real demo build man completions pages pages-without-train libtorch install install-without-train uninstall \
	check-install bundle wheel test test-rust test-wheel valgrind-wheel \
	test-zarrs test-python test-faults test-torch-python check-no-torch lint learning bench-pack bench-feed \
	bench-codec bench-by-hand bench-page bench-sites compressibility contact-sheet readme-picture clean faults fuzz

# All programs. Without the trainer, which is all that needs libtorch: cargo build --release
build: libtorch
	@cargo build --release --workspace

libtorch:
	@tools/libtorch.sh .libtorch $(PYTHON)

# Made by the programs of their own flags.
man completions pages: build
	@rm -rf target/pages
	@$(BIN)/train --pages target/pages

pages-without-train:
	@cargo build --quiet --release
	@rm -rf target/pages
	@$(BIN)/cellshard --pages target/pages

install: pages
	@tools/install.sh "$(PREFIX)" $(PROGRAMS) $(TRAINER)

install-without-train: pages-without-train
	@tools/install.sh "$(PREFIX)" $(PROGRAMS)

uninstall:
	@tools/install.sh "$(PREFIX)"

check-install: build
	@tools/check_install.sh

bundle: build wheel
	@rm -rf dist
	@mkdir dist
	@cp $(PROGRAMS:%=$(BIN)/%) $(TRAINER:%=$(BIN)/%) dist/
	@cp tools/gpu.sh tools/loader_on_device.py benches/peers/train_torch.py $(WHEEL) dist/
	@du -sh dist

demo: build
	@rm -rf $(DEMO)
	@echo '$$ simulate: two cell types, six experiments (one of each type is the test set), 6 x 64 x 64 pixels'
	@$(BIN)/simulate $(DEMO)/data --experiments HUVEC:3,RPE:3 --plates 1 --wells 200 --sirnas 24 --size 64
	@printf '\n$$ pack data shards\n'
	@$(BIN)/pack $(DEMO)/data $(DEMO)/shards
	@printf '\n$$ verify shards --deep\n'
	@$(BIN)/verify $(DEMO)/shards --deep
	@printf '\n$$ stats shards --by experiment | head -7\n'
	@$(BIN)/stats $(DEMO)/shards --by experiment | head -7
	@printf '\n$$ train shards --recipe demo --run run\n'
	@$(BIN)/train $(DEMO)/shards --recipe demo --run $(DEMO)/run
	@printf '\n$$ predict shards --run run --tta 8 --out submission.csv --truth data/truth.csv\n'
	@$(BIN)/predict $(DEMO)/shards --run $(DEMO)/run --tta 8 --out $(DEMO)/submission.csv \
		--like $(DEMO)/data/sample_submission.csv --truth $(DEMO)/data/truth.csv

test: check-no-torch test-rust test-zarrs test-python test-faults check-install

test-rust: libtorch
	tests/in_memory.sh cargo test --quiet --release --workspace --exclude zarrs-check

# By itself, in a profile that builds many crates in little time.
test-zarrs:
	tests/in_memory.sh cargo test --quiet --profile unoptimised --package zarrs-check

# A sample of `make faults`.
test-faults: build
	@if strace -o /dev/null true 2> /dev/null; then tests/in_memory.sh $(PYTHON) tools/faults.py $(BIN) --sample 8; \
	else echo 'no strace that may trace: the sample of make faults is passed over'; fi

# What must not be depended on: cargo itself says what is.
check-no-torch:
	@if cargo tree --edges normal,build --prefix none | grep -E '^(tch|torch-sys) '; then \
		echo 'the root package depends on libtorch'; exit 1; fi
	@if cargo tree --no-default-features --edges normal,build --prefix none | grep -E '^(clap|indicatif|anyhow|zarrs) '; then \
		echo 'the library depends on what only programs need'; exit 1; fi

# The wheel, with NumPy and zarr, then what other readers make of stores.
test-python: build test-wheel .venv/tests
	CELLSHARD_BIN=$(BIN) CELLSHARD_REAL=$(REAL) CELLSHARD_PLATES=$(PLATES) tests/in_memory.sh \
		.venv/bin/pytest --quiet tests/python --ignore tests/python/test_torch.py

test-wheel: wheel
	@.venv-wheel/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEEL)
	tests/in_memory.sh .venv-wheel/bin/pytest --quiet python/tests

# For every Python from 3.11 on, and the oldest glibc that the toolchain allows.
wheel: .venv-wheel/tests
	@rm -rf target/wheels
	@.venv-wheel/bin/maturin build --quiet --release --manifest-path python/Cargo.toml --out target/wheels
	@ls -sh target/wheels

# Apart from the others, and not a part of `test`: torch comes with CUDA libraries and does not import without them.
test-torch-python: build wheel .venv-torch/tests
	.venv-torch/bin/pytest --quiet tests/python/test_torch.py
	@.venv-torch/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEEL)
	CELLSHARD_BIN=$(BIN) tests/in_memory.sh .venv-torch/bin/pytest --quiet python/tests

# The core test under valgrind, which sees every read and write of memory that is not there (needs valgrind; minutes).
valgrind-wheel: test-wheel
	tools/valgrind_wheel.sh .venv-wheel/bin/python

.venv-wheel/tests: python/tests/requirements.txt
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv-torch/tests: tests/python/requirements-torch.txt
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/tests: tests/python/requirements.txt | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv/peers: benches/peers/requirements-pack.txt | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

faults:
	@cargo build --quiet --release
	tests/in_memory.sh $(PYTHON) tools/faults.py $(BIN)

lint: libtorch
	cargo fmt --check
	cargo clippy --quiet --release --no-default-features -- --deny warnings
	cargo clippy --quiet --release --no-default-features --features cli -- --deny warnings
	cargo clippy --quiet --release --workspace --exclude zarrs-check --all-targets -- --deny warnings
	cargo clippy --quiet --profile unoptimised --package zarrs-check --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --quiet --release --no-deps --document-private-items \
		--package cellshard --package cellshard-train

# Each target by itself: what it finds lies in fuzz/artifacts/TARGET/.
SECONDS := 1200
TARGETS := png tiff raw_images shard_index chunk wave zarr_documents lists rows classes recipe submission foreign_zarr tree \
	store
fuzz:
	@for target in $(TARGETS); do \
		mkdir -p fuzz/corpus/$$target fuzz/crashers/$$target; \
		TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo $${TMPDIR:-/tmp}) \
			cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target fuzz/crashers/$$target -- \
			-max_total_time=$(SECONDS) -rss_limit_mb=2048 -timeout=60 -max_len=65536 -detect_leaks=0 -print_final_stats=1 || exit 1; \
	done

learning: build
	$(PYTHON) benches/learning.py --bin $(BIN) --json $(RUNS)/learning.json

bench-pack: .venv/peers
	cargo bench --quiet --bench pack -- --python .venv/bin/python --json $(RUNS)/pack.json

# FFCV is built from source, with what Debian's packages have.
.venv-peers/feed: benches/peers/requirements-feed.txt
	sh benches/peers/install-system.sh
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

bench-feed: .venv-peers/feed wheel
	@.venv-peers/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEEL)
	cargo bench --quiet --bench feed -- --python .venv-peers/bin/python --json $(RUNS)/feed.json

.venv-codec/codecs: benches/peers/requirements-codec.txt
	$(PYTHON) -m venv .venv-codec
	.venv-codec/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

bench-codec: .venv-codec/codecs wheel
	@cargo build --quiet --release
	@.venv-codec/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEEL)
	.venv-codec/bin/python benches/codec.py $(BIN) $(REAL) /dev/shm/cellshard-codec --json $(RUNS)/codec.json

bench-by-hand:
	@mkdir -p $(RUNS)
	cargo bench --quiet --package zarrs-check --bench by_hand -- --json $(CURDIR)/$(RUNS)/by-hand.json

bench-page: build .venv/tests
	.venv/bin/python benches/inspect_page.py $(BIN) $(REAL) /dev/shm/cellshard-page --json $(RUNS)/inspect-page.json
	@rm -rf /dev/shm/cellshard-page

bench-sites: build
	$(PYTHON) benches/many_sites.py $(BIN) /dev/shm/cellshard-many-sites --json $(RUNS)/many-sites.json

readme-picture: build .venv/tests
	@rm -rf target/site
	$(BIN)/simulate --dst target/site --layout bare --experiments HUVEC:2 --test-experiments 0 --plates 1 --wells 60 \
		--sirnas 24 --sites 1
	.venv/bin/python benches/site_picture.py target/site docs/simulated-site.png

contact-sheet: build .venv/tests
	@rm -rf target/contact-sheet
	$(BIN)/simulate --dst target/contact-sheet --layout bare --experiments HEPG2:4,HUVEC:2,RPE:2,U2OS:2 --plates 1 \
		--wells 2 --seed 0
	.venv/bin/python benches/contact_sheet.py $(REAL) target/contact-sheet target/contact-sheet.png

compressibility: build .venv/tests
	@rm -rf target/compressibility
	$(BIN)/simulate --dst target/compressibility --layout bare --plates 4 --wells 4 --sites 1
	.venv/bin/python benches/compressibility.py $(REAL) target/compressibility

# The first run refuses (exit code 1), the second packs what is there, the third reads the later copy of the CSVs.
real: build
	@rm -rf target/real
	@$(BIN)/pack --src $(REAL) --dst target/real; test $$? -eq 1
	@$(BIN)/pack --src $(REAL) --dst target/real --on-error skip
	@$(BIN)/verify target/real --deep
	@cd target/real && sha256sum --check --strict --quiet SHA256SUMS && echo 'sha256sum: whole'
	@$(BIN)/stats --shards target/real
	@if [ -d $(REAL)/../metadata-2023 ]; then \
		$(BIN)/pack --src $(REAL) --metadata $(REAL)/../metadata-2023 --dst target/real-2023 --dry-run; test $$? -eq 1; fi

clean:
	rm -rf target dist .venv .venv-codec .venv-peers .venv-torch .venv-wheel .libtorch
