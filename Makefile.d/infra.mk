# Node 20 works with the CDK; npm run synth says that it is at its end.
.PHONY: test-infra
test-infra: export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
test-infra: deps ## the tests of the deployment: templates, rights, agreement with the binaries
	cd infra && $(GO_TEST) -parallel 4 ./...

.PHONY: validate-template
validate-template: deps ## the CDK app's template against the schemas of CloudFormation
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && \
		CDK_VALIDATION=true npm run --silent synth -- --output "$$out" -c demo=true -c producer=true && \
		{ grep -q '"pluginReports": \[\]' "$$out/validation-report.json" || { \
			echo "validate-template: the CDK reports:" >&2; cat "$$out/validation-report.json" >&2; exit 1; }; }

.PHONY: lint-infra
lint-infra: $(BIN)/golangci-lint-$(GOLANGCI_LINT) ## golangci-lint and go mod tidy of the deployment
	cd infra && $< run --allow-parallel-runners --config ../.golangci.yml ./...
	cd infra && go mod tidy -diff
