# The chart, the kustomize base, and what watches workers: rendered and checked, with tools that are
# built once into bin. Their newer releases need a newer Go.

HELM := v3.22.0
KUBECONFORM := v0.8.0
KUSTOMIZE := v5.8.1
KUBERNETES_TOOLS := $(BIN)/helm-$(HELM) $(BIN)/kubeconform-$(KUBECONFORM) $(BIN)/kustomize-$(KUSTOMIZE)

$(BIN)/helm-$(HELM):
	$(call install_tool,helm.sh/helm/v3/cmd/helm,$(HELM),helm)
$(BIN)/kubeconform-$(KUBECONFORM):
	$(call install_tool,github.com/yannh/kubeconform/cmd/kubeconform,$(KUBECONFORM),kubeconform)
$(BIN)/kustomize-$(KUSTOMIZE):
	$(call install_tool,sigs.k8s.io/kustomize/kustomize/v5,$(KUSTOMIZE),kustomize)

.PHONY: kubernetes
kubernetes: $(KUBERNETES_TOOLS) ## the Helm chart with five value sets and the kustomize base, through kubeconform; the chart's values
	cd deploy/kubernetes && $(GO_TEST) ./...

.PHONY: kubernetes-rewrite
kubernetes-rewrite: $(KUBERNETES_TOOLS) ## write the kustomize base from the chart, and the schemas from the pinned modules
	cd deploy/kubernetes && go run ./schema && $(GO_TEST) -run TestBase . -rewrite

.PHONY: lint-kubernetes
lint-kubernetes: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the chart's tests
	cd deploy/kubernetes && $< run --allow-parallel-runners --config ../../.golangci.yml ./...
	cd deploy/kubernetes && go mod tidy -diff

# Debian's, without its service.
PROMTOOL := $(BIN)/promtool
$(PROMTOOL):
	@mkdir -p $(BIN)
	@command -v promtool >/dev/null && ln -sf "$$(command -v promtool)" $@ || { \
		dir=$$(mktemp -d) && chmod 755 "$$dir" && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
		{ apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && \
		dpkg-deb -x prometheus_*.deb . && cp usr/bin/promtool $@; }

.PHONY: monitoring
monitoring: $(PROMTOOL) ## the Prometheus rules: promtool's check and the cases of each alert
	cd deploy/monitoring && $(PROMTOOL) check rules rules.yaml && $(PROMTOOL) test rules rules.test.yaml
