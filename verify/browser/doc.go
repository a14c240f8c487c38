// Package browser tests the console in a real browser: Debian's Chromium,
// driven over its debugging protocol. The tests are built with the tag
// "browser" only (make browser), and fail where there is no Chromium.
package browser
