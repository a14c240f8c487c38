# The tools that are built from source, in one go. Each target that needs one builds it too.

.PHONY: tools
tools: $(BIN)/golangci-lint-$(GOLANGCI_LINT) $(KUBERNETES_TOOLS) $(BIN)/actionlint-$(ACTIONLINT) ## build the pinned tools of make lint, kubernetes and actions into bin
