// Package console is the worker's console: one embedded page that says whether
// the worker works, what is stuck and what became of a name, the JSON API
// beneath it, and the short history that both show.
//
// A [History] watches the pool and the guard through their hooks and keeps the
// last quarter of an hour in a bounded ring. [New] puts the page and its API
// over it. Nothing runs by itself: no goroutine, no timer. A hook adds to
// counters, and everything else is computed when somebody looks, once a second
// for all who look.
//
// # Who may do what
//
// Everybody who reaches the admin address may look. To act, a visitor must be
// on loopback or have the admin token. Message bodies are shown only to who may
// act. Every action is a POST that a foreign page cannot make, and is logged
// with who and what.
//
// Names, bodies and errors come from outside. They are cut to a bound here, and
// the page shows them as text: it is served with a policy under which the
// browser refuses to run or parse anything else.
package console
