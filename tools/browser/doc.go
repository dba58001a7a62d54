// Package browser pays in a real browser: headless Chromium against the demo,
// as a person would, on a wide screen, on a phone, and without JavaScript. It is
// a module of its own so that its dependencies never touch the product's.
//
// It needs Debian's chromium (or CHROMIUM=/path/to/chromium) and skips nothing:
// where no browser can be found the tests fail. SHOTS=DIR keeps screenshots.
package browser
