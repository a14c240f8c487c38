# Messages of a workload. With 4000 the tables take a quarter of an hour on two idle processors.
MESSAGES ?= 4000

WRITE_TABLES = cd verify && SQSONCE_BENCHMARKS=$(CURDIR)/BENCHMARKS.md SQSONCE_BENCH_MESSAGES=$(MESSAGES) go test -tags bench -v -count=1 -timeout 3h

.PHONY: bench
bench: bench-micro bench-tables bench-memory ## micro benchmarks, then the tables of BENCHMARKS.md anew (MESSAGES=n of a workload); best on a quiet machine

.PHONY: bench-micro
bench-micro: ## micro benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-tables
bench-tables: bench-subjects bench-local bench-producer bench-virtual bench-prices ## the tables of BENCHMARKS.md, but for memory and releases

.PHONY: bench-subjects
bench-subjects: deps bench-deps ## worker, loop, go-cloud, the SDK alone, and three consumers on Node, against canned answers
	$(WRITE_TABLES) -run 'TestTables/subjects' ./bench

.PHONY: bench-local
bench-local: deps ## worker and loop on local servers: duplicates, several workers, HTTP target, large bodies
	$(WRITE_TABLES) -run 'TestTables/local' ./bench

.PHONY: bench-producer
bench-producer: deps ## producer serve and a bare handler before the same SQS server
	$(WRITE_TABLES) -run TestTable -benchtime 3000x ./bench/front

.PHONY: bench-virtual
bench-virtual: deps ## calls, rates and percentiles at AWS's latencies, in virtual time
	$(WRITE_TABLES) -run 'TestTables/(virtual|spread)' ./bench

.PHONY: bench-prices
bench-prices: ## the ways to pay less, from internal/prices
	go test -count=1 ./internal/prices -rewrite

.PHONY: bench-memory
bench-memory: deps ## a million messages through one worker: its memory must stay that of 50,000
	$(WRITE_TABLES) -run TestMemory ./bench

.PHONY: bench-releases
bench-releases: deps ## CPU against canned answers: the release whose source is in OTHER=DIR and this one, in turn, into BENCHMARKS.md
	SQSONCE_OTHER_RELEASE=$(abspath $(OTHER)); export SQSONCE_OTHER_RELEASE; $(WRITE_TABLES) -run TestReleases ./bench

# The subjects on Node have a lock file of their own, and one of them needs Debian's Redis.
BENCH_NODE := verify/bench/node

.PHONY: bench-deps
bench-deps: $(BENCH_NODE)/node_modules/.installed # what the subjects need, when it is missing
	@command -v redis-server >/dev/null || { \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; }

$(BENCH_NODE)/node_modules/.installed: $(BENCH_NODE)/package.json $(BENCH_NODE)/package-lock.json
	cd $(BENCH_NODE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# The other tool of the benchmark is a module of its own.
.PHONY: lint-gocloud
lint-gocloud: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the benchmark's go-cloud subject
	cd verify/bench/gocloud && $< run --allow-parallel-runners --config ../../../.golangci.yml ./...
	cd verify/bench/gocloud && go mod tidy -diff
