# One verb per target; CI calls the same ones (.ci/run).

.DEFAULT_GOAL := help
export GOTOOLCHAIN := local
# As the image's binaries are built, so that tests and image share the build cache.
export GOFLAGS := -buildvcs=false -trimpath
export CGO_ENABLED ?= 0
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

GOLANGCI_LINT := v2.15.0
GOVULNCHECK := v1.9.0
BIN := $(CURDIR)/bin

# make lint vets; go test would analyse every dependency for it. A seventh of the tests' CPU is a
# garbage collector that runs too often for their small heaps.
# One time limit for all: a result is cached with its flags, so make verify does not repeat a test of
# make test.
GO_TEST := GOGC=400 go test -vet=off -timeout 15m
# A build without inlining takes a third less processor time, and one without data for debuggers a
# fourteenth less. The standard library keeps its inlining.
NO_INLINING := '-gcflags=all=-l -dwarf=false' '-gcflags=std=-dwarf=false'
test test-infra verify sim-late validate-template bench-once: export GOFLAGS += $(NO_INLINING)
lint lint-infra lint-verify lint-lambda lint-gocloud lint-programs lint-kubernetes: export GOFLAGS += $(NO_INLINING)
kubernetes kubernetes-rewrite browser image-check old-clients attack: export GOFLAGS += $(NO_INLINING)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z/-]+:.*## ' $(MAKEFILE_LIST) Makefile.d/*.mk 2>/dev/null | sort -u | sed -E 's/^([a-z\/-]+):.*## (.*)/  \1\t\2/' | column -t -s '	'

.PHONY: deps
deps: node_modules/.installed ## install the local servers that the tests use (npm, pinned)
node_modules/.installed: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: test
test: deps ## the tests of the code and of the deployment, and a short case of each long test; minutes
	$(GO_TEST) ./...
	cd verify && $(GO_TEST) ./smoke ./mutants ./counts ./reference
	cd lambda && $(GO_TEST) ./...
	cd examples/programs && $(GO_TEST) ./...
	$(MAKE) --no-print-directory test-infra

# Sizes: SQSONCE_TEST_SCALE multiplies seeds, states and messages; the targets of single tests (make help) go further.
# The sizes of make verify; .ci/run makes them smaller.
VERIFY_SCALE ?= 1
SEEDED_SCALE ?= 5

# The seeded tests and the crowds of the root module: a short case each in make test.
SEEDED := TestStop/stop_at_any|TestFIFO/group_keeps_its_order|TestTwelveHours/a_handler|TestSettle/(slow_queue|many_releases)|TestNoisyTenant|TestOneTenantsOutage|TestThousands|TestConcurrentPosts|TestSend/each_post|TestWire/concurrent_posts

.PHONY: verify
verify: deps ## the long tests: simulation, killed processes, binaries on real servers, calls a message; not sim-late
	cd verify && SQSONCE_TEST_SCALE=$(VERIFY_SCALE) $(GO_TEST) ./...
	$(MAKE) --no-print-directory validate-template
	SQSONCE_TEST_SCALE=$(SEEDED_SCALE) $(GO_TEST) -run '$(SEEDED)' ./consumer ./internal/deadletter ./internal/producerapi

# Crowds, large bodies and many hours in virtual time: minutes under the race detector, in code that smaller tests run too.
CROWDS := TestTwelveHours|TestFIFO/follower_held_up_for_twelve_hours|TestTrickle/5s|TestHandle/waiting_messages_are_bounded|TestSettle/(slow_queue|many_releases)|TestFailingGroups|TestDeepGroups|TestNoisyTenant|TestOneTenantsOutage|TestPayloadTrouble
CROWDS := $(CROWDS)|TestOutage/outage_of_an_hour/(^batches$$|^group_limits)|TestGroupLimits/waiting_sends_nothing_back/full_bound|TestOutageAtTheBound|TestLanesAtTheBound/maxReceiveCount_5|TestLongOutage|TestTrouble/many_slots|TestDeadLetterTrouble/(key_throttled|unknown)
CROWDS := $(CROWDS)|TestOthersFaults/(deletes_that_fail|dead_letters_of_a_mebibyte|short_visibility_timeout)
CROWDS := $(CROWDS)|TestProgress/(more_poison|poison_messages|batches_that|^group_limits)|TestSend/outage_is_answered|TestBatchpost/batch_in_an_outage_is_answered|TestDLQ/thousands

# The same in the simulation, and the seeds that it runs twice for the order of their events.
SIM_CROWDS := TestProgress/(^seeds$$|tenant|refusal|groups_failing)|TestRun/same_trace

# Commands that print and exit, and the reading of settings: no goroutine of theirs shares memory. The
# requests of the commands are those of the packages that they call, which are raced.
COMMANDS := TestOutputIsClean|TestRealServers|TestImport/over_HTTP|TestCommands/help|TestLongNames|TestByteOrderMark|TestExitCodes|TestBlankTokens|TestBadUsage|TestAddressWithoutAnAPI|TestDirect|TestDelays
COMMANDS := $(COMMANDS)|TestFlags|TestReadConfig|TestConfigText|TestPreflightCases|TestDoctor|TestRecipes|TestMatrix/outcome_at_the_target

# The clock of another server, which is slow beside the detector.
REAL_TIME := TestServersDoAsSQS/fauxqs

# Packages that start goroutines, or share memory between them, in their code or their tests. The
# goroutines of the helpers run in the tests of the packages that use them.
HELPERS := ./internal/emulators/ ./internal/stack/ ./internal/ecs/ ./examples/library/
RACED = $(filter-out $(HELPERS),$(sort $(dir $(shell grep -rlE '^\s+go \w|"sync"|"sync/atomic"|/errgroup"|t\.Parallel' . --include=*.go \
	--exclude-dir=node_modules --exclude-dir=verify --exclude-dir=infra --exclude-dir=lambda --exclude-dir=deploy --exclude-dir=programs))))
# The detector sees the same accesses without inlining.
RACE_TEST := $(GO_TEST) -race '-gcflags=all=-l -dwarf=false'

.PHONY: race
race: export CGO_ENABLED := 1
race: deps ## the tests of concurrent packages under the race detector, with a tenth of the seeds and states
	SQSONCE_TEST_SCALE=0.1 $(RACE_TEST) -skip '$(CROWDS)|$(COMMANDS)|$(REAL_TIME)' $(RACED)
	cd verify && SQSONCE_TEST_SCALE=0.05 $(RACE_TEST) -skip '$(SIM_CROWDS)' ./sim
	cd lambda && $(RACE_TEST) .

# Packages with benchmarks: the test binaries of the others need not be linked for it.
WITH_BENCHMARKS = $(sort $(dir $(shell grep -rl '^func Benchmark' . --include=*_test.go --exclude-dir=node_modules --exclude-dir=verify --exclude-dir=infra)))

.PHONY: bench-once
bench-once: ## every benchmark, one iteration: they compile and run
	$(GO_TEST) -run '^$$' -bench . -benchtime 1x $(WITH_BENCHMARKS) >/dev/null

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy, of every module
	$< run --allow-parallel-runners ./...
	go mod tidy -diff
	$(MAKE) --no-print-directory lint-infra lint-verify lint-lambda lint-gocloud lint-programs lint-kubernetes

.PHONY: lint-verify
lint-verify: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the simulation and the other heavy tests
	cd verify && $< run --allow-parallel-runners --config ../.golangci.yml ./...
	cd verify && go mod tidy -diff

.PHONY: lint-lambda
lint-lambda: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the adapter for AWS Lambda
	cd lambda && $< run --allow-parallel-runners --config ../.golangci.yml ./...
	cd lambda && go mod tidy -diff

# install_tool PACKAGE,VERSION,NAME: a pinned tool, built once into the target's file, whose name has
# the version.
define install_tool
	@mkdir -p $(BIN)/install && rm -f $(BIN)/$(3)-v*
	GOGC=400 GOBIN=$(BIN)/install GOFLAGS="$(GOFLAGS) $(NO_INLINING)" go install -ldflags=-s $(1)@$(2)
	mv $(BIN)/install/$(3) $@
endef

$(BIN)/golangci-lint-$(GOLANGCI_LINT):
	$(call install_tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT),golangci-lint)

.PHONY: prose
prose: ## vague words, long lines and sentences in Markdown and comments; names and lengths of tests
	cd verify && $(GO_TEST) -count=1 -tags prose -run 'TestProse|TestTests' ./counts

.PHONY: counts
counts: ## lines, exported names, large types, long functions, requirements of the root module
	@go -C verify run ./counts

.PHONY: up
up: deps ## start SQS and DynamoDB on loopback; prints export lines: eval "$$(make -s up)"
	@go run ./internal/emulators/cmd/local up

.PHONY: down
down: ## stop what make up has started
	@go run ./internal/emulators/cmd/local down

-include Makefile.d/*.mk
