// Package browser tests the console in a real browser: Debian's Chromium, driven by its debugging
// protocol. Only builds with the tag "browser" include the tests (make browser). They fail without
// Chromium.
package browser
