package awsenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a TCP listener at addr (HOST:PORT; port 0 takes a free port). Its errors name flag,
// the flag that sets addr. An invalid address is a [*SettingsError].
func Listen(flag, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, &SettingsError{Problems: []string{fmt.Sprintf("%s %q: not HOST:PORT: %v", flag, addr, err)}}
	}
	var config net.ListenConfig
	ln, err := config.Listen(context.Background(), "tcp", addr) // returns at once
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use; choose another with %s HOST:PORT", flag, addr, flag)
	case err != nil:
		return nil, fmt.Errorf("%s %q: %w", flag, addr, err)
	}
	return ln, nil
}

// Loopback reports whether only this machine can reach addr (HOST:PORT). It is also true for an
// invalid address, which [Listen] refuses.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
