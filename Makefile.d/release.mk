# Releases: .goreleaser.yaml and .github/workflows/release.yaml. The newer releases of these tools need
# a newer Go.

GORELEASER := v2.15.1
ACTIONLINT := v1.7.12
VERSION ?= 0.0.0

$(BIN)/goreleaser-$(GORELEASER):
	$(call install_tool,github.com/goreleaser/goreleaser/v2,$(GORELEASER),goreleaser)
$(BIN)/actionlint-$(ACTIONLINT):
	$(call install_tool,github.com/rhysd/actionlint/cmd/actionlint,$(ACTIONLINT),actionlint)

.PHONY: goreleaser
goreleaser: $(BIN)/goreleaser-$(GORELEASER) # builds it once, for minutes

.PHONY: actions
actions: $(BIN)/actionlint-$(ACTIONLINT) ## the workflows of GitHub Actions, through actionlint
	$<

.PHONY: chart
chart: $(BIN)/helm-$(HELM) ## the Helm chart as a package in .local/chart (VERSION=1.2.3); goreleaser empties dist
	@rm -rf .local/chart && mkdir -p .local/chart
	$< package deploy/kubernetes/chart --version $(VERSION) --app-version $(VERSION) --destination .local/chart

.PHONY: release-check
release-check: $(BIN)/goreleaser-$(GORELEASER) actions chart ## goreleaser's check, and a release of this commit in dist, without registry, signatures and SBOMs
	$< check
	$< release --snapshot --clean --skip=docker,sbom,sign
	@cd dist && ls -1 *.tar.gz *.zip checksums.txt
