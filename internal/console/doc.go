// Package console is the worker's console: an embedded page that shows the state of the worker,
// stuck names and the record of a name, its JSON API, and the short history behind both.
//
// A [History] observes the pool and the guard through their hooks, and keeps the last 15 minutes in
// a bounded ring. [New] returns the page and its API. The package runs no goroutine or timer of its
// own: hooks add to counters, and the rest is computed once a second while pages are open.
//
// # Permissions
//
// Every client that can reach the admin address may read. To act, a visitor must be on loopback or
// have the admin token. Message bodies are shown only to visitors who may act. Every action is a
// POST that a foreign page cannot send, and is logged with its visitor and object.
//
// Names, bodies and errors come from outside. They are cut to a bounded length here, and the page
// shows them as text: its Content-Security-Policy makes the browser refuse all other scripts and
// markup.
package console
