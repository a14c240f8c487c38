.PHONY: mutants
mutants: ## break the code on purpose, one line at a time: every breakage must fail a test
	go run ./internal/mutants $(sort $(wildcard internal/mutants/*.txt))
