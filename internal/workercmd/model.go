package workercmd

import (
	"io"
	"reflect"

	"github.com/alecthomas/kong"
)

// Model returns the commands and flags of the worker, for their reference.
func Model() (*kong.Application, error) {
	parser, err := newParser(&cli{}, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	return parser.Model, nil
}

// QueueFields returns the names of the flags that a queue in a file of --config may set.
func QueueFields() (flags []string) {
	for _, field := range settingsOf(reflect.TypeFor[queueConfig]()) {
		if field.flag != fieldWeight {
			flags = append(flags, field.flag)
		}
	}
	return flags
}
