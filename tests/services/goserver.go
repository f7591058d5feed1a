// SPDX-License-Identifier: MIT

// An HTTP server as Go programs are: goserver ADDRESS... with tcp:HOST:PORT, reuseport:HOST:PORT and
// unix:PATH.  It knows nothing of restarts; at SIGTERM it answers what it has, and ends.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

// Not in package syscall.
const soReuseport = 15

func reuse(network, address string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReuseport, 1)
	})
	if err == nil {
		err = failed
	}
	return err
}

func listen(address string) (net.Listener, error) {
	var config net.ListenConfig
	kind, where, _ := strings.Cut(address, ":")
	switch kind {
	case "reuseport":
		config.Control = reuse
		kind = "tcp"
	case "unix":
		os.Remove(where)
	}
	return config.Listen(context.Background(), kind, where)
}

// Of a Go program without C hp can borrow the first thread alone, and only where that is not in a goroutine's
// stack: hp-restart(7).
func init() {
	runtime.LockOSThread()
}

func main() {
	server := &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello from %d\n", os.Getpid())
		})}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	for _, address := range os.Args[1:] {
		listener, err := listen(address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go server.Serve(listener)
	}
	<-end
	server.Shutdown(context.Background())
}
