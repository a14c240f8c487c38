package main

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
)

// service counts its calls; it declines calls for more than 1000 bytes.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
	ran  atomic.Int64
	fail atomic.Bool
}

func (s *service) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	n := s.ran.Add(1)
	if s.fail.Load() {
		return nil, status.Error(codes.Internal, "broken")
	}
	if r.ResponseSize > 1000 {
		return nil, status.Error(codes.FailedPrecondition, "declined")
	}
	return &grpc_testing.SimpleResponse{Username: string(rune('0' + n))}, nil
}

func TestOnce(t *testing.T) {
	guard, err := dedupe.New[dedupe.Payload](memstore.New(), dedupe.Config{Scope: "rpc"})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{}
	server := grpc.NewServer(grpc.UnaryInterceptor(once(guard)))
	grpc_testing.RegisterTestServiceServer(server, s)
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	conn, err := grpc.NewClient("passthrough:///", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := grpc_testing.NewTestServiceClient(conn)
	for i, tc := range []struct {
		key  string
		size int32
		fail bool
		code codes.Code
		name string
		ran  int64
	}{
		{"1", 1, false, codes.OK, "1", 1},
		{"1", 1, false, codes.OK, "1", 1},
		{"1", 2, false, codes.InvalidArgument, "", 1},
		{"", 1, false, codes.InvalidArgument, "", 1},
		{"2", 5000, false, codes.FailedPrecondition, "", 2},
		{"2", 5000, false, codes.FailedPrecondition, "", 2},
		{"3", 1, true, codes.Internal, "", 3},
		{"3", 1, false, codes.OK, "4", 4},
		{"3", 1, true, codes.OK, "4", 4},
	} {
		s.fail.Store(tc.fail)
		ctx := t.Context()
		if tc.key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", tc.key)
		}
		resp, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{ResponseSize: tc.size})
		if status.Code(err) != tc.code || resp.GetUsername() != tc.name || s.ran.Load() != tc.ran {
			t.Errorf("call %d: %v, %v, ran %d times", i, resp, err, s.ran.Load())
		}
	}
}
