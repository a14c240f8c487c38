// Command http charges once for each Idempotency-Key.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/dedupe/httponce"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	store, err := dynamo.New(dynamodb.NewFromConfig(cfg), dynamo.Config{Table: os.Getenv("TABLE")})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, store, dedupe.Config{Scope: "charges", Now: store.Now}, listener); err != nil {
		log.Fatal(err)
	}
}

// charge is an ordinary handler.
func charge(w http.ResponseWriter, r *http.Request) {
	var order struct{ Amount int }
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // a result: the same body fails again
		return
	}
	if order.Amount > 1000 {
		http.Error(w, "declined", http.StatusPaymentRequired) // a result too
		return
	}
	attempt, _ := dedupe.AttemptFrom(r.Context())
	w.Header().Set("Location", "/charges/"+pay(attempt.Name, order.Amount))
	w.WriteHeader(http.StatusCreated)
}

// pay stands for the call of a payment provider, with the name as its idempotency key.
func pay(name string, amount int) (id string) {
	log.Printf("charge %d for %s", amount, name)
	return rand.Text()
}

// serve answers until ctx ends, and then until the charges under way are recorded, for
// 20 s at most.
func serve(ctx context.Context, store dedupe.Store, guard dedupe.Config, listener net.Listener) error {
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	once, err := httponce.New(store, guard, httponce.Config{
		Client: func(r *http.Request) string { return r.Header.Get("X-Api-Client") }, // of your authentication
		Docs:   "https://developer.example.com/idempotency",
		Stop:   over,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /charges", once(http.HandlerFunc(charge)))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	down := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(over, 20*time.Second)
		defer cancel()
		err := server.Shutdown(drain)
		end()
		down <- err
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-down
}
