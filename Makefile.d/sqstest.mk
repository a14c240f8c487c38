# The queue server in memory: sqstest.

.PHONY: old-clients
old-clients: ## Debian's awscli and boto3 (Query protocol) against worker --local; installs them with apt-get
	scripts/old-clients
