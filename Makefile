# Trifecta. `make` alone prints what there is.

GO       ?= go
BIN      := bin/trifecta
# The race detector makes tests 5 to 10 times slower, hence the timeout. A package
# prints its line only when it is done, so a silent minute is normal; for more,
# make test TESTFLAGS="-race -v".
TESTFLAGS ?= -race -shuffle=on -timeout 20m
LINT     := $(GO) tool -modfile=tools/go.mod golangci-lint
GOFUMPT  := $(GO) tool -modfile=tools/go.mod gofumpt

.DEFAULT_GOAL := help
.PHONY: help demo build test test-process test-wire test-mongo test-ferretdb test-browser test-tools sim crash planted fuzz bench lint docs fmt fmt-check docs-check ci clean

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## build, then run the whole thing on this machine: sandbox providers, gateway, demo shop
	./$(BIN) demo

build: ## build bin/trifecta
	$(GO) build -trimpath -o $(BIN) ./cmd/trifecta

test: ## run all tests with the race detector, in random order (TESTFLAGS=… to change); those of the simulator, which is one goroutine, without it
	$(GO) test $(TESTFLAGS) $$($(GO) list ./... | grep -v '/cmd/sim$$')
	$(GO) test $(filter-out -race,$(TESTFLAGS)) ./cmd/sim

test-process: ## over 150 kill -9, paused processes, broken networks, stalled providers, a flood, stops under load, with real processes (2 to 3 minutes)
	TRIFECTA_PROCESS_TESTS=1 $(GO) test -count=1 -timeout 10m -run 'Kill|Flood|SecondProcess|Stopped|Paused|Network|Stalled|Relay' ./cmd/e2e ./cmd/trifecta

# The tests that TRIFECTA_FAULT_MATRIX makes long, by the ends of their names.
MATRIX := (UnderStoreFaults|FailOverDuringPayments)$$

test-wire: ## the suites of the store and of the whole house on a stand-in that speaks MongoDB's wire protocol
	TRIFECTA_FAULT_MATRIX=1 $(GO) test -count=1 -timeout 10m -parallel 24 -run '$(MATRIX)' ./cmd/e2e & matrix=$$!; \
	TRIFECTA_TEST_ENGINE=wire $(GO) test -count=1 -timeout 10m -skip '$(MATRIX)' ./store ./cmd/e2e; suites=$$?; \
	wait $$matrix && exit $$suites # the matrix mostly waits for the driver; ./store/mongo and ./store/transfer are on the wire in any case

test-mongo: ## the suites that need no injected fault, kill -9 storms and two replicas on a real MongoDB (needs TRIFECTA_TEST_MONGODB_URI)
	@[ -n "$$TRIFECTA_TEST_MONGODB_URI" ] || { echo "make test-mongo needs a real server: TRIFECTA_TEST_MONGODB_URI=mongodb://HOSTS/?replicaSet=NAME (it makes and drops databases named trifecta_test_…)" >&2; exit 1; }
	$(GO) test -count=1 -timeout 20m ./store ./store/mongo/... ./store/transfer/... ./cmd/e2e
	TRIFECTA_PROCESS_TESTS=1 $(GO) test -count=1 -timeout 20m -run Kill ./cmd/e2e

test-ferretdb: ## the engine's suite, without its races, on FerretDB over SQLite, an independent engine (the first run compiles it: 3 minutes)
	$(GO) -C tools/ferretdb build -o ../../bin/ferretdb .
	./bin/ferretdb $(GO) test -count=1 -timeout 10m -run TestConformanceRealServer -skip '/(UpdateCounter|InsertRace|ReplaceRace|Claims|PagesWhileInserting)$$' ./store/mongo

test-browser: ## pay in a real browser (needs chromium; SHOTS=DIR keeps screenshots)
	$(GO) -C tools/browser test -count=1 -timeout 10m ./...

test-tools: ## test the Stripe judge, which lives in a module of its own
	$(GO) -C tools/stripemock test ./...

sim: ## simulate seeds of all modes or one, two at a time (SEEDS=1000 MODE=webhook-only, or ARGS="-seed 7 -v")
	$(GO) run ./cmd/sim -seeds $(or $(SEEDS),200) -jobs $(or $(JOBS),2) $(if $(MODE),-mode $(MODE)) $(ARGS)

crash: ## crash the process before and after every durable write of every scene, and once more in the recovery; put backups of every moment back (minutes)
	SIM_EVERY_CRASH=1 $(GO) test -count=1 -timeout 60m -parallel 2 -run 'CrashPoints|RestorePoints' ./cmd/sim

planted: ## plant a catalogue of bugs into copies of the source, one by one: the named test must catch each (minutes)
	$(GO) run ./cmd/planted -jobs 2
	$(GO) test -count=1 -run 'Planted' ./cmd/sim

fuzz: ## give every fuzz target N=30000 inputs, one line a target (ONLY=FuzzVerify for one; PLAIN=1 without coverage guidance, quicker to build)
	@N="$(or $(N),30000)" PLAIN="$(PLAIN)" bash tools/fuzz.sh $(ONLY)

bench: build ## measure latency, throughput, CPU and memory beside their floors, then check the books (ARGS="-history 100000 -only sweep", ARGS="-mongo URL")
	$(GO) build -trimpath -o bin/ ./cmd/checkbooks ./cmd/bench
	./bin/bench $(ARGS)

lint: ## vet, house rules and room boundaries (the first run compiles the linter: 1 to 2 minutes)
	$(LINT) run ./...

docs: ## print docs/state-machine.md, and the list of planted bugs, from the code
	TRIFECTA_WRITE_DOCS=1 $(GO) test -count=1 -run 'TestDocsStateMachine|TestDocsPlanted' ./gateway/payment ./cmd/planted

fmt: ## format all Go code
	$(GOFUMPT) -w $$(git ls-files -co --exclude-standard '*.go')

fmt-check: ## fail if any Go file is not formatted
	@out=$$($(GOFUMPT) -l $$(git ls-files -co --exclude-standard '*.go')); \
	  if [ -n "$$out" ]; then echo "not formatted (run make fmt):"; echo "$$out"; exit 1; fi

docs-check: ## fail if a page that comes from code, or the dependency page, is out of date (part of test)
	$(GO) test -run 'Docs|Dependencies|Example|House|KindsTable' ./docs ./config ./gateway/payment ./gateway/alerts ./cmd/planted ./cmd/sim

ci: ## exactly what CI runs
	bash .ci/run

clean: ## remove what was built
	rm -rf bin dist
