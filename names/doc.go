// Package names takes names and fingerprints out of messages with JSON
// bodies.
//
// A name is found by a JMESPath over the body, in a message attribute, or is an
// id of the message. A fingerprint is the hash of the body's canonical form, or
// of a part of it, so that white space, the order of keys, the spelling of
// strings and of numbers do not matter, while 20-digit integers that differ in
// the last digit stay different.
package names
