# The documentation: its reference from the code, and the site.

.PHONY: reference
reference: ## write docs/reference anew from the code: flags, metrics, errors, configuration, HTTP API
	cd verify && go run ./reference
