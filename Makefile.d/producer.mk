FUZZTIME ?= 30s

.PHONY: fuzz-producer
fuzz-producer: ## fuzz what the producer lets through (FUZZTIME=30s each)
	go test ./internal/producerapi -run '^$$' -fuzz '^FuzzParseMessage$$' -fuzztime $(FUZZTIME)
	go test ./internal/producerapi -run '^$$' -fuzz '^FuzzIdempotencyKey$$' -fuzztime $(FUZZTIME)
	go test ./internal/producerapi -run '^$$' -fuzz '^FuzzSplit$$' -fuzztime $(FUZZTIME)
