FUZZTIME ?= 30s

.PHONY: fuzz-producer
fuzz-producer: ## fuzz what the producer lets through (FUZZTIME=30s each)
	go test ./internal/producerapi -run '^$$' -fuzz '^FuzzParseMessage$$' -fuzztime $(FUZZTIME)
	go test ./internal/producerapi -run '^$$' -fuzz '^FuzzIdempotencyKey$$' -fuzztime $(FUZZTIME)
	go test ./internal/producerapi -run '^$$' -fuzz '^FuzzSplit$$' -fuzztime $(FUZZTIME)

.PHONY: attack
attack: deps ## attack the binaries over sockets; others must be served meanwhile (make verify has it too)
	cd verify && $(GO_TEST) -v -count=1 -timeout 10m -run TestAttack ./e2e
