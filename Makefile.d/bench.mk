MESSAGES ?= 10000

.PHONY: bench
bench: bench-micro bench-tables ## micro benchmarks, then the tables of BENCHMARKS.md anew (MESSAGES=n of a workload); best on a quiet machine

.PHONY: bench-micro
bench-micro: ## micro benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-tables
bench-tables: deps ## the tables of BENCHMARKS.md: worker, loop and go-cloud on local servers and canned answers, AWS-like latencies
	cd verify && SQSONCE_BENCHMARKS=$(CURDIR)/BENCHMARKS.md SQSONCE_BENCH_MESSAGES=$(MESSAGES) go test -tags bench -v -count=1 -timeout 3h -run TestTables ./bench

.PHONY: bench-releases
bench-releases: deps ## CPU against canned answers: the release whose source is in OTHER=DIR and this one, in turn, into BENCHMARKS.md
	cd verify && SQSONCE_OTHER_RELEASE=$(abspath $(OTHER)) SQSONCE_BENCHMARKS=$(CURDIR)/BENCHMARKS.md SQSONCE_BENCH_MESSAGES=$(MESSAGES) go test -tags bench -v -count=1 -timeout 3h -run TestReleases ./bench

# The other tool of the benchmark is a module of its own.
.PHONY: lint-gocloud
lint-gocloud: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the benchmark's go-cloud subject
	cd verify/bench/gocloud && $< run --allow-parallel-runners --config ../../../.golangci.yml ./...
	cd verify/bench/gocloud && go mod tidy -diff

.PHONY: bench-memory
bench-memory: deps ## a million messages through one worker: its memory must stay that of 50,000
	cd verify && go test -tags bench -v -count=1 -timeout 3h -run TestMemory ./bench
