# Patches that break the code on purpose (verify/mutants): a test has to notice each of them.

# A patch or a folder of patches: make mutants MUTANTS=verify/mutants/dedupe
MUTANTS ?= $(filter-out verify/mutants/sim,$(patsubst %/,%,$(sort $(dir $(wildcard verify/mutants/*/*.patch)))))
MUTANT_FLAGS ?=

.PHONY: mutants
mutants: bin/mutants ## break the code on purpose: every breakage must fail a test (MUTANTS=folder or patch, MUTANT_FLAGS="-run REGEXP -v")
	bin/mutants $(MUTANT_FLAGS) $(MUTANTS)

.PHONY: mutants-sim
mutants-sim: deps bin/mutants ## the same, but the simulation alone has to find each breakage
	bin/mutants $(MUTANT_FLAGS) verify/mutants/sim

.PHONY: mutants-check
mutants-check: bin/mutants ## do all patches fit the code, and select a test? (make verify asks too)
	bin/mutants -check $(sort $(dir $(wildcard verify/mutants/*/*.patch)))

.PHONY: mutants-refresh
mutants-refresh: bin/mutants ## write the patches again whose surrounding lines have changed
	bin/mutants -refresh $(sort $(dir $(wildcard verify/mutants/*/*.patch)))

.PHONY: bin/mutants
bin/mutants:
	go -C verify build -o ../bin/mutants ./mutants
