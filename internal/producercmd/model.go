package producercmd

import (
	"io"

	"github.com/alecthomas/kong"
)

// Model returns the commands and flags of the producer, for their reference.
func Model() (*kong.Application, error) {
	parser, err := newParser(&cli{}, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	return parser.Model, nil
}
