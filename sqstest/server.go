package sqstest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config holds the parts of queue URLs and ARNs.
type Config struct {
	Region    string // default us-east-1
	AccountID string // default 000000000000
	BaseURL   string // scheme://host:port of queue URLs; default http://127.0.0.1:4566
}

// Server is an SQS server in memory. Create it with [New]. It is safe for concurrent use, runs no
// goroutines and needs no Close.
type Server struct {
	cfg Config // BaseURL: guarded by mu

	mu     sync.Mutex // never held while waiting
	queues map[string]*queue
	moves  []*move // oldest first
	hook   func(context.Context, Call) Fault
}

// New returns a server without queues.
func New(cfg Config) *Server {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.AccountID == "" {
		cfg.AccountID = "000000000000"
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = "http://127.0.0.1:4566"
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	return &Server{cfg: cfg, queues: map[string]*queue{}}
}

// SetBaseURL changes the scheme://host:port of the queue URLs that the server returns from now on.
// Earlier URLs keep working, because the server reads only the last element of a queue URL's path.
func (s *Server) SetBaseURL(u string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.BaseURL = strings.TrimRight(u, "/")
}

// AWSConfig returns a configuration for clients that call this server without a network:
// sqs.NewFromConfig(s.AWSConfig()). Its credentials are placeholders. It reads neither the
// environment nor files.
func (s *Server) AWSConfig() aws.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return aws.Config{
		Region:       s.cfg.Region,
		HTTPClient:   s,
		BaseEndpoint: new(s.cfg.BaseURL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "sqstest", SecretAccessKey: "sqstest", Source: "sqstest"}, nil
		}),
	}
}

// queueName returns the queue's name in a URL, an ARN, or a plain name.
func queueName(s string) string {
	return lastPart(lastPart(strings.TrimRight(s, "/"), "/"), ":")
}

// find returns a queue after applying all changes that have become due. s.mu is held.
func (s *Server) find(urlOrName string, at instant) (*queue, error) {
	if urlOrName == "" {
		return nil, missing("QueueUrl")
	}
	q, ok := s.queues[queueName(urlOrName)]
	if !ok {
		return nil, noQueue()
	}
	s.continueMoves(at)
	q.advance(at)
	return q, nil
}

func (s *Server) url(q *queue) string {
	return s.cfg.BaseURL + "/" + s.cfg.AccountID + "/" + q.name
}

func (s *Server) arn(name string) string {
	return "arn:aws:sqs:" + s.cfg.Region + ":" + s.cfg.AccountID + ":" + name
}

// names returns the names of all queues in order. s.mu is held.
func (s *Server) names() []string { return slices.Sorted(maps.Keys(s.queues)) }
