# One entry point for people and for CI; `make` alone lists what there is.
PYTHON    ?= python3
# Set on the command line; `=` and not `?=`, as NAME and DATA are common in environments.
CONFIG = configs/demo.yaml
# Name and data folder follow the configuration.
NAME = $(basename $(notdir $(CONFIG)))
DATA = $(or $(shell sed -nE '/^data:/,$$ { /^(data:.*[{,]|[[:space:]]+)[[:space:]]*root: */ { \
  s///; s/[[:space:]]*([,}]|[[:space:]]\#).*//; s/[[:space:]]+$$//; s/^["'\'']|["'\'']$$//g; p; q; }; }' $(CONFIG)),data/demo)
SUBMISSION = $(or $(wildcard configs/submissions/$(NAME).yaml),configs/submissions/demo.yaml)
# A configuration with an adversary is for the other loop.
TRAINER = $(if $(shell grep -m1 '^gan:' $(CONFIG)),train_gan,train)
SET =
PROCESSES = 1
# TRAIN=no predicts with the run as it stands.
TRAIN = yes
# Enlargement that audit and verify expect.
SCALE = 4
# An earlier submission that verify compares with.
PREVIOUS =
# DRY=yes previews a training run.
DRY = no
# A weights file to predict with instead of the run's best weights, such as runs/NAME/soup.safetensors.
WEIGHTS = $(RUN)
# What `make study` trains.
STUDY = configs/studies/demo.yaml
# Other runs: for the soup and the benchmarks, where weights files will do too, and for the curves.
ADD =
# A folder of benchmark sets for evaluate, and of a set the pictures from one name to another: ONLY="urban100=061..070".
BENCHMARKS =
ONLY =
# OPEN=no runs the notebook without opening it.
OPEN = yes
# FIX=yes lets the audit write DATA/excluded.txt.
FIX = no

BIN := .venv/bin
RUN = runs/$(NAME)
PREDICTIONS = $(RUN)/predictions
AUDIT = runs/audit/$(notdir $(patsubst %/,%,$(DATA)))
# Without DATA or CONFIG, a report looks where the run's pictures came from.
TOLD = $(filter command,$(origin DATA) $(origin CONFIG))
NOTEBOOK = $(BIN)/jupyter $(if $(filter no,$(OPEN)),nbconvert --execute --to html --output-dir $(RUN)/report,lab)
INFER = $(BIN)/python -m competition.infer $(WEIGHTS)
# torchrun rather than `accelerate launch`, which quietly starts one process where there is no GPU.
ifeq ($(PROCESSES),1)
LAUNCH := $(BIN)/python -m
else
LAUNCH := $(BIN)/python -m torch.distributed.run --standalone --nproc_per_node $(PROCESSES) -m
endif

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo audit prepare train infer evaluate submit verify soup export curves report notebook study serve harvest pretrained test test-slow soak sabotage lint bench results clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14
	@echo
	@echo 'variables: CONFIG=$(CONFIG) NAME=$(NAME) DATA=$(DATA) SUBMISSION=$(SUBMISSION) STUDY=$(STUDY)'
	@echo '           SET="key=value …" (no spaces within a value) PROCESSES=$(PROCESSES) TRAIN=$(TRAIN) DRY=$(DRY) FIX=$(FIX) OPEN=$(OPEN) SCALE=$(SCALE)'

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e .
	# Left to itself basicsr would replace torch and bring a tb-nightly that silences TensorBoard.
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation --no-deps basicsr
	# Both OpenCV packages share one folder; the one without windows needs no display libraries, so it shall win.
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps --force-reinstall opencv-python-headless
	touch $@

# With what an extra of pyproject.toml brings: dev, export, web, ...
.venv/installed-%: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[$*]'
	touch $@

install: .venv/installed  ## make .venv with the pinned dependencies

install-dev: .venv/installed-dev  ## and with what tests and lint need

demo: install  ## draw the built-in demo contest (only where DATA=data/demo)
	@if [ '$(patsubst %/,%,$(DATA))' = data/demo ]; then $(BIN)/python -m competition.demo data/demo; fi

audit: demo  ## find every fault of DATA, report in runs/audit/; FIX=yes leaves faulty pairs out of training
	$(BIN)/python -m competition.audit $(DATA) --scale $(SCALE) --json $(AUDIT).json --html $(AUDIT).html \
	  $(if $(filter yes,$(FIX)),--fix-list $(DATA)/excluded.txt)

prepare: demo  ## decode DATA's pairs into its pixel store and verify it; train does the first by itself
	$(BIN)/python -m competition.prepare $(CONFIG) data.root=$(DATA) name=$(NAME) $(SET)

train: demo  ## fine-tune CONFIG on DATA as run NAME; the same command resumes; DRY=yes only shows what it would do
	$(LAUNCH) competition.$(TRAINER) $(CONFIG) data.root=$(DATA) name=$(NAME) $(SET) $(if $(filter yes,$(DRY)),--dry-run)

infer: $(if $(filter no,$(TRAIN)),install,train)  ## predict: validation plainly, validation and test pictures with 8-way self-ensemble
	$(INFER) --input $(DATA)/train/lr --names $(RUN)/validation.txt --output $(PREDICTIONS)/model/validation
	$(INFER) --input $(DATA)/train/lr --names $(RUN)/validation.txt --output $(PREDICTIONS)/self_ensemble/validation \
	  --self-ensemble mean --truth $(DATA)/train/hr
	$(INFER) --input $(DATA)/test/lr --output $(PREDICTIONS)/self_ensemble/test --self-ensemble mean

evaluate: $(if $(BENCHMARKS),install,infer)  ## per-picture table of the validation pictures, or RUN and ADD on the sets of BENCHMARKS
ifdef BENCHMARKS
	$(BIN)/python -m competition.benchmark $(BENCHMARKS) $(WEIGHTS) $(ADD) $(if $(ONLY),--only $(ONLY)) \
	  $(if $(filter command,$(origin SCALE)),--scale $(SCALE)) $(if $(wildcard $(RUN)/.),--csv $(RUN)/benchmarks.csv)
else
	$(BIN)/python -m competition.evaluate $(PREDICTIONS)/self_ensemble/validation $(DATA)/train/hr
endif

submit: infer  ## vote, write submissions/NAME/*.png and NAME.zip, print the table
	$(BIN)/python -m competition.submit $(SUBMISSION) name=$(NAME) data=$(DATA) predictions=$(PREDICTIONS)

verify: install  ## judge SUBMISSION, anybody's folder, zip or CSV, as the contest would; PREVIOUS= an earlier one
	$(BIN)/python -m competition.verify $(if $(filter command,$(origin SUBMISSION)),$(SUBMISSION),submissions/$(NAME).zip) \
	  $(DATA) --scale $(SCALE) $(if $(PREVIOUS),--previous $(PREVIOUS))

soup: $(if $(filter no,$(TRAIN)),install,train)  ## average the weights the run kept, and those of ADD, where that scores better
	$(BIN)/python -m competition.soup $(RUN) $(DATA) $(if $(ADD),--add $(ADD))

export: .venv/installed-export $(if $(filter no,$(TRAIN)),,train)  ## write the best weights as ONNX and torch.export files into runs/NAME/export/
	$(BIN)/python -m competition.export $(WEIGHTS) --output $(RUN)/export \
	  $(if $(wildcard $(DATA)/test/lr),--pictures $(DATA)/test/lr)

curves: install  ## draw loss, PSNR, learning rate, gradient norm and speed into runs/NAME/curves/, ADD's runs beside
	$(BIN)/python -m competition.curves $(RUN) $(ADD)

report: .venv/installed-analysis  ## tell what RUN's predictions get wrong, in runs/NAME/report/index.html; ADD's runs are compared
	$(BIN)/python -m competition.report $(RUN) $(ADD) $(if $(TOLD),--data $(DATA))

notebook: .venv/installed-notebook  ## the same as a notebook in JupyterLab; OPEN=no writes it, run, into runs/NAME/report/
	PYTHONWARNINGS='ignore:IProgress not found' RUN='$(abspath $(RUN) $(ADD))' DATA='$(if $(TOLD),$(abspath $(DATA)))' $(NOTEBOOK) notebooks/error_analysis.ipynb

study: .venv/installed-study demo  ## train one experiment with the many settings of STUDY; the same command goes on; DRY=yes only shows them
	$(BIN)/python -m competition.study $(STUDY) $(SET) $(if $(filter yes,$(DRY)),--dry-run)

serve: .venv/installed-web  ## the platform's page on http://127.0.0.1:8000, with a worker; settings: docs/web.md
	$(BIN)/python -m competition.web serve

harvest: .venv/installed-web  ## make training pairs of what the page's visitors gave for learning, into data/web/harvest/
	$(BIN)/python -m competition.web harvest

pretrained: install  ## list published weights, or fetch and convert one with NAME=…
	$(BIN)/python -m competition.pretrained $(if $(filter command,$(origin NAME)),$(NAME))

test: install-dev  ## the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: install-dev .venv/installed-web-tests  ## the tests that take minutes; those of the page need Debian's chromium, redis-server, postgresql
	$(BIN)/python -m pytest -m slow

soak: install-dev  ## kill training at 230 random moments; nothing may be lost, every end must have the same bits
	$(BIN)/python tests/soak.py

sabotage: install-dev  ## spoil our own code in one place after the other; the tests must notice each time
	$(BIN)/python tests/sabotage.py

lint: install-dev  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install-dev  ## measure speed and memory; figures go to tests/benchmarks/results/
	$(BIN)/python tests/benchmarks/full_size_inference.py

results: install-dev  ## write the README's results table from tests/benchmarks/results/
	$(BIN)/python tests/benchmarks/results_table.py

clean:  ## remove .venv and caches; data, runs and submissions stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
