MINUTES ?= 5
FUZZTIME ?= 1m

.PHONY: sim
sim: ## the simulation: SEED=n one seed with its trace (in dist/sim), SIM=n that many seeds of each mode; default 10,000
	@mkdir -p dist/sim
ifdef SEED
	cd verify && SQSONCE_SEED=$(SEED) go test -v -count=1 -timeout 10m -run 'TestRun$$/(safety|liveness)' -artifacts -outputdir $(CURDIR)/dist/sim ./sim
else
	cd verify && SQSONCE_SEEDS=$(or $(SIM),10000) SQSONCE_FROM=$(or $(FROM),1) go test -v -count=1 -timeout 24h -run 'TestRun$$/(safety|liveness)|TestProgress/seeds' -artifacts -outputdir $(CURDIR)/dist/sim ./sim
endif

.PHONY: sim-trouble
sim-trouble: ## the simulation of single messages in trouble: does it keep others from being begun? SEED=n, or SIM=n seeds, default 1,000
	@mkdir -p dist/sim
	cd verify && SQSONCE_SEED=$(SEED) SQSONCE_SEEDS=$(or $(SIM),1000) SQSONCE_FROM=$(or $(FROM),1) go test -v -count=1 -timeout 24h -run TestProgress -artifacts -outputdir $(CURDIR)/dist/sim ./sim

.PHONY: sim-dynamo
sim-dynamo: deps ## the simulation over a real DynamoDB server: SIM=n that many seeds of each mode; default 1,000
	@mkdir -p dist/sim
	cd verify && SQSONCE_SEEDS=$(or $(SIM),1000) SQSONCE_FROM=$(or $(FROM),1) go test -v -count=1 -timeout 24h -run TestRunOnDynamoDB -artifacts -outputdir $(CURDIR)/dist/sim ./sim

.PHONY: sim-twice
sim-twice: ## every seed of the simulation twice: do both give the same trace? SIM=n, default 1,000
	cd verify && SQSONCE_SEEDS=$(or $(SIM),1000) SQSONCE_FROM=$(or $(FROM),1) go test -v -count=1 -timeout 24h -run 'TestRun$$/same' ./sim

# The package time of these seeds is another one, so that all their code is compiled anew.
.PHONY: sim-late
sim-late: ## the simulation with timers that fire late: SIM=n that many seeds of each kind; default 10
	go -C verify build -o $(BIN)/seeds ./seeds
	cd verify && $(BIN)/seeds -mode late -count $(or $(SIM),10) -from $(or $(FROM),1) -record=

.PHONY: seeds
seeds: deps ## COUNT=n seeds of a MODE from FROM on, in recorded chunks (verify/sim/seeds.txt); the same command resumes
	go -C verify run ./seeds $(if $(MODE),-mode $(MODE) -from $(or $(FROM),1) -count $(or $(COUNT),5000),-sum)

.PHONY: chaos
chaos: deps ## MINUTES=n of real workers on real servers, killed, stopped and cut off; prints the judgement
	@mkdir -p dist/chaos
	cd verify && SQSONCE_CHAOS=$(MINUTES)m go test -v -count=1 -timeout 24h -run 'TestRun$$/chaos' -artifacts -outputdir $(CURDIR)/dist/chaos ./chaos

# The release that a fleet may be a mixture with: the last one that wrote batches with REMOVE, and native results.
OTHER_RELEASE ?= 5758a1e6a1e3b6dd1d4e12b1f9cb35824e5cc1c5

.PHONY: chaos-mixed
chaos-mixed: deps ## workers of this and an earlier release on one queue and table, upgraded and rolled back under load (MINUTES=n; default 20 s)
	@git cat-file -e '$(OTHER_RELEASE)^{commit}' 2>/dev/null || { \
		echo "chaos-mixed: commit $(OTHER_RELEASE) is not in this clone; fetch its whole history (git fetch --unshallow)" >&2; exit 1; }
	@mkdir -p dist/chaos
	@other=$$(mktemp -d) && trap 'rm -rf "$$other"' EXIT && git archive '$(OTHER_RELEASE)' | tar -x -C "$$other" && \
	cd verify && SQSONCE_OTHER_RELEASE="$$other" SQSONCE_CHAOS=$(if $(filter file,$(origin MINUTES)),,$(MINUTES)m) \
		go test -tags mixed -v -count=1 -timeout 24h -run TestTwoReleases -artifacts -outputdir $(CURDIR)/dist/chaos ./chaos

.PHONY: soak
soak: deps ## MINUTES=n of steady load; memory, goroutines, threads, files and latency must stay flat; plot in dist/soak.svg
	@mkdir -p dist
	cd verify && SQSONCE_SOAK=$(MINUTES)m SQSONCE_PLOT=$(CURDIR)/dist/soak.svg go test -v -count=1 -timeout 24h -run 'TestRun$$/steady' ./chaos

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 1m each); the corpora run in make test
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

$(BIN)/govulncheck-$(GOVULNCHECK):
	$(call install_tool,golang.org/x/vuln/cmd/govulncheck,$(GOVULNCHECK),govulncheck)

.PHONY: vuln
vuln: $(BIN)/govulncheck-$(GOVULNCHECK) ## known vulnerabilities in what is built; needs https://vuln.go.dev
	@$< ./... || { code=$$?; [ $$code -eq 3 ] || echo "vuln: nothing was checked; the database at https://vuln.go.dev must be reachable" >&2; exit $$code; }
