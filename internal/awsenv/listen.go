package awsenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a TCP listener at addr (HOST:PORT; port 0 takes a free one).
// Every error names flag, the flag that sets addr: an address that is none is
// a [*SettingsError], a port in use comes with the way out.
func Listen(flag, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, &SettingsError{Problems: []string{fmt.Sprintf("%s %q: not HOST:PORT: %v", flag, addr, err)}}
	}
	var config net.ListenConfig
	ln, err := config.Listen(context.Background(), "tcp", addr) // a loopback or wildcard address: nothing to wait for
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use; choose another with %s HOST:PORT", flag, addr, flag)
	case err != nil:
		return nil, fmt.Errorf("%s %q: %w", flag, addr, err)
	}
	return ln, nil
}

// Loopback reports whether only this machine can reach addr (HOST:PORT). It is
// true of what is no address at all, which [Listen] finds out.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
