.PHONY: explore
explore: ## every interleaving of three attempts on one name, 12 events deep (half an hour, 8 GB); prints the count
	SQSONCE_EXPLORE_DEPTH=12 go test -v -count=1 -timeout 4h -run '^TestStepExplore/no_interleaving_breaks_the_promise$$' ./dedupe/protocol

.PHONY: soak-leases
soak-leases: ## a minute of a process with more to do than it has processors: it must keep its leases
	go test -tags soak -v -count=1 -run TestRenewSoak ./dedupe

.PHONY: lint-programs
lint-programs: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the programs of docs/library.md
	cd examples/programs && $< run --allow-parallel-runners --config ../../.golangci.yml ./...
	cd examples/programs && go mod tidy -diff
