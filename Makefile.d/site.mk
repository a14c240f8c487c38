# The documentation: its reference from the code, and the site.

.PHONY: reference
reference: ## write docs/reference anew from the code: flags, metrics, errors, configuration, HTTP API
	cd verify/reference && go run .

docs/site/node_modules/.installed: docs/site/package.json docs/site/package-lock.json
	cd docs/site && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: site
site: docs/site/node_modules/.installed ## the documentation site, in dist/site; fails at a dead link in any Markdown of the repository
	cd docs/site && npm test --silent && npm run --silent links && npm run --silent build

.PHONY: diagrams
diagrams: docs/site/node_modules/.installed ## draw docs/diagrams/*.svg anew from their sources
	cd docs/site && node diagrams.mjs
