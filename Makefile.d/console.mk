# The console's tests in a real browser.

CHROMIUM_PACKAGES := chromium fonts-inter fonts-dejavu-core

.PHONY: browser
browser: deps chromium ## the console in Debian's Chromium; pictures in dist/browser
	@rm -rf dist/browser && mkdir -p dist/browser # only pictures of this run
	cd verify && go test -tags browser -count 1 -timeout 15m -artifacts -outputdir $(CURDIR)/dist/browser ./browser

.PHONY: console-picture
console-picture: deps chromium ## take docs/console.png anew
	cd verify && SQSONCE_CONSOLE_PICTURE=$(CURDIR)/docs/console.png go test -tags browser -count 1 -run TestPicture ./browser

.PHONY: chromium
chromium: # what the browser tests need, from Debian, when it is missing
	@command -v chromium >/dev/null || { \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(CHROMIUM_PACKAGES) >/dev/null; }
