// Command grpc runs each unary call that carries an idempotency key once.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"log"
	"net"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	store, err := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{Table: os.Getenv("TABLE")})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := dedupe.New[dedupe.Payload](store, dedupe.Config{Scope: "rpc", Now: store.Now})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:8081")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(once(guard)))
	// Register your services here.
	log.Fatal(server.Serve(listener))
}

// results are the codes that say the same however often they are asked for: they are
// recorded. Every other code is a failure, which is tried again.
var results = []codes.Code{
	codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.FailedPrecondition, codes.OutOfRange,
}

// once is an interceptor for unary calls with the metadata "idempotency-key". A result,
// or an error of [results], is recorded as the protobuf message that it is.
func once(guard *dedupe.Guard[dedupe.Payload]) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		keys := metadata.ValueFromIncomingContext(ctx, "idempotency-key")
		if len(keys) != 1 {
			return nil, status.Error(codes.InvalidArgument, "idempotency-key: exactly one is needed")
		}
		key, err := keyOf(info.FullMethod, keys[0], req)
		if err != nil {
			return nil, err
		}
		// A caller that goes away does not cancel the work: its retry gets the result.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		res, err := guard.Do(ctx, key, func(ctx context.Context) (dedupe.Payload, error) {
			reply, err := handler(ctx, req)
			return record(reply, err)
		})
		if err != nil {
			return nil, errorOf(err)
		}
		return reply(res)
	}
}

func keyOf(method, key string, req any) (dedupe.Key, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req.(proto.Message))
	if err != nil {
		return dedupe.Key{}, err
	}
	sum := sha256.Sum256(body)
	same := protocol.Fingerprint{0: 1}
	copy(same[5:], sum[:])
	return dedupe.Key{Name: method + " " + key, Fingerprint: same}, nil
}

func record(reply any, err error) (dedupe.Payload, error) {
	message, _ := reply.(proto.Message)
	if err != nil {
		if !slices.Contains(results, status.Code(err)) {
			return dedupe.Payload{}, err
		}
		message = status.Convert(err).Proto()
	}
	wrapped, err := anypb.New(message)
	if err != nil {
		return dedupe.Payload{}, err
	}
	data, err := proto.Marshal(wrapped)
	return dedupe.Payload{Data: data, Type: "application/protobuf"}, err
}

// reply returns the recorded outcome: a reply or an error.
func reply(res dedupe.Result[dedupe.Payload]) (any, error) {
	if res.Replayed && res.Omitted {
		return nil, status.Error(codes.Aborted, "completed, and its reply was not kept")
	}
	var wrapped anypb.Any
	if err := proto.Unmarshal(res.Value.Data, &wrapped); err != nil {
		return nil, err
	}
	message, err := wrapped.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	type asStatus interface {
		GetCode() int32
		GetMessage() string
	}
	if s, ok := message.(asStatus); ok && wrapped.MessageName() == "google.rpc.Status" {
		return nil, status.Error(codes.Code(s.GetCode()), s.GetMessage())
	}
	return message, nil
}

// errorOf is the gRPC error of a call for which nothing was recorded.
func errorOf(err error) error {
	switch {
	case errors.As(err, new(*dedupe.MismatchError)):
		return status.Error(codes.InvalidArgument, "idempotency-key was used with another request")
	case errors.As(err, new(*dedupe.InProgressError)), errors.Is(err, dedupe.ErrUnavailable):
		return status.Error(codes.Unavailable, err.Error()) // try again
	case errors.As(err, new(*dedupe.RejectedError)), errors.As(err, new(*dedupe.UnknownOutcomeError)):
		return status.Error(codes.Aborted, err.Error())
	default:
		return status.Error(status.Code(err), err.Error())
	}
}
