// Package attributes holds what packages that do not import each other have to
// agree on about message attributes.
package attributes

// Name is the message attribute that, when present, is the message's name.
const Name = "sqsonce.name"
