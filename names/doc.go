// Package names extracts names and fingerprints from messages with JSON bodies.
//
// A name is the value of a JMESPath over the body, a message attribute, or an id of the message. A
// fingerprint is a hash over the canonical form of the body or of a part of it. It does not depend
// on white space, key order, or the spelling of strings and numbers. Numbers keep all digits:
// 20-digit integers that differ in the last digit have different fingerprints.
package names
