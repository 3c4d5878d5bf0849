# make demo   a small run of everything on made-up Korean text, in demo/ (no GPU, no download but packages)
# make test   the checks: ruff and the test suite
# make clean  remove what these two made

PYTHON ?= python3
BIN = .venv/bin
INSTALLED = .venv/installed

.PHONY: demo test clean

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh demo.sh

clean:
	rm -rf .venv demo build dem.egg-info

# constraints.txt holds the versions that were tested; without it pip may fetch a CUDA build of torch.
# Python compiles what is imported, when it first is: of all that comes with these packages that is a small part.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e ".[test]"
	touch $@
