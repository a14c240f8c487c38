MESSAGES ?= 10000

.PHONY: bench
bench: bench-micro bench-tables ## micro benchmarks, then the tables of BENCHMARKS.md anew (MESSAGES=n of a workload); best on a quiet machine

.PHONY: bench-micro
bench-micro: ## micro benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-tables
bench-tables: deps ## the tables of BENCHMARKS.md: worker and loop on local servers, AWS-like latencies, the floor
	SQSONCE_BENCHMARKS=$(CURDIR)/BENCHMARKS.md SQSONCE_BENCH_MESSAGES=$(MESSAGES) go test -tags bench -v -count=1 -timeout 3h -run 'Tables$$' ./internal/bench

.PHONY: bench-memory
bench-memory: deps ## a million messages through one worker: its memory must stay that of 50,000
	go test -tags bench -v -count=1 -timeout 3h -run TestAMillion ./internal/bench
