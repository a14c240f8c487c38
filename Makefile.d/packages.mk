# Debian's packages, all in one go. The targets that need one install it too where it is missing.

.PHONY: packages
packages: ## the Debian packages of image-check, browser and old-clients, where they are missing
	@missing=$$(command -v buildah >/dev/null || echo buildah; command -v chromium >/dev/null || echo $(CHROMIUM_PACKAGES); \
		{ [ -x /usr/bin/aws ] && /usr/bin/python3 -c 'import boto3' 2>/dev/null; } || echo awscli python3-boto3); \
	[ -z "$$missing" ] || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
