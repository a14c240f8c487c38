// Package deps tests rules about the source: the allowed imports between packages, and calls that
// tests must not make.
package deps

import (
	"fmt"
	"strings"
	"testing"
)

const (
	module   = "github.com/sqsonce/sqsonce"
	protocol = module + "/dedupe/protocol"
)

// pkg is a package in the output of go list.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string // direct imports
	Deps       []string // direct and indirect imports
}

// violations returns one line for every forbidden import.
func violations(pkgs []pkg) []string {
	standard := make(map[string]bool)
	for _, p := range pkgs {
		standard[p.ImportPath] = p.Standard
	}
	var found []string
	forbid := func(p pkg, reason string, uses []string, forbidden func(path string) bool) {
		for _, path := range uses {
			if forbidden(path) {
				found = append(found, fmt.Sprintf("%s uses %s: %s", p.ImportPath, path, reason))
			}
		}
	}
	for _, p := range pkgs {
		if within("consumer")(p.ImportPath) {
			forbid(p, "consumer does not know dedupe", p.Deps, within("dedupe"))
			forbid(p, "consumer knows nothing of DynamoDB", p.Deps, awsService("dynamodb"))
		}
		if within("dedupe")(p.ImportPath) {
			forbid(p, "dedupe does not know consumer", p.Deps, within("consumer"))
			forbid(p, "dedupe knows nothing of SQS", p.Deps, awsService("sqs"))
		}
		if within("names")(p.ImportPath) || within("sqstest")(p.ImportPath) {
			forbid(p, "names and sqstest do not know consumer", p.Deps, within("consumer"))
		}
		if within("sqstest")(p.ImportPath) {
			forbid(p, "sqstest does not know dedupe", p.Deps, within("dedupe"))
		}
		if within("names")(p.ImportPath) {
			forbid(p, "names does not know dedupe", p.Deps, within("dedupe"))
			forbid(p, "names knows nothing of AWS", p.Deps, func(path string) bool { return sameOrBelow(path, "github.com/aws") })
		}
		if sameOrBelow(p.ImportPath, module) && !program(p.ImportPath) && !within("verify")(p.ImportPath) {
			forbid(p, "only programs know the client of S3", p.Deps, awsService("s3"))
		}
		if !mayUseRoot(p.ImportPath) {
			forbid(p, "only programs, examples and test helpers use the root package", p.Imports, func(path string) bool { return path == module })
		}
		if p.ImportPath == module+"/consumer" || p.ImportPath == module+"/dedupe" {
			forbid(p, "a root package does not use its own parts but the protocol", p.Deps, func(path string) bool {
				return below(p.ImportPath)(path) && path != protocol
			})
		}
		if p.ImportPath == module+"/dedupe" {
			forbid(p, "dedupe uses the standard library, the protocol, failure, the cache, backoff and pinned only", p.Imports, func(path string) bool {
				return !standard[path] && path != protocol && path != module+"/failure" && path != module+"/internal/backoff" && path != module+"/internal/pinned" &&
					!sameOrBelow(path, "github.com/hashicorp/golang-lru/v2/simplelru")
			})
		}
		if p.ImportPath == protocol {
			forbid(p, "the protocol uses the standard library only", p.Imports, func(path string) bool { return !standard[path] })
		}
		if sameOrBelow(p.ImportPath, module) {
			forbid(p, "the CDK stays in infra, a module of its own", p.Deps, isCDK)
		}
	}
	return found
}

// mayUseRoot reports whether a package may import the root package: programs, examples and helpers
// of tests.
func mayUseRoot(path string) bool {
	return program(path) || within("examples")(path) || within("verify")(path) || within("internal/console/consoletest")(path)
}

// program reports whether a package belongs to the worker or the producer, and not to the library.
func program(path string) bool {
	return within("cmd")(path) || within("internal/workercmd")(path) || within("internal/producercmd")(path)
}

func within(part string) func(string) bool {
	return func(path string) bool { return sameOrBelow(path, module+"/"+part) }
}

func below(root string) func(string) bool {
	return func(path string) bool { return strings.HasPrefix(path, root+"/") }
}

func awsService(name string) func(string) bool {
	return func(path string) bool { return sameOrBelow(path, "github.com/aws/aws-sdk-go-v2/service/"+name) }
}

func isCDK(path string) bool {
	return sameOrBelow(path, "github.com/aws/aws-cdk-go") ||
		sameOrBelow(path, "github.com/aws/constructs-go") ||
		sameOrBelow(path, "github.com/aws/jsii-runtime-go") ||
		sameOrBelow(path, module+"/infra")
}

func sameOrBelow(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func TestArrows(t *testing.T) {
	t.Run("arrows that point the wrong way are found", testArrowsThatPointTheWrongWayAreFound)
}

func testArrowsThatPointTheWrongWayAreFound(t *testing.T) {
	std := pkg{ImportPath: "fmt", Standard: true}
	for name, tc := range map[string]struct {
		p    pkg
		want int
	}{
		"consumer to dedupe":          {pkg{ImportPath: module + "/consumer", Deps: []string{module + "/dedupe"}}, 1},
		"sqstest to memstore":         {pkg{ImportPath: module + "/sqstest", Deps: []string{module + "/dedupe/memstore"}}, 1},
		"consumer to DynamoDB":        {pkg{ImportPath: module + "/consumer", Deps: []string{"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"}}, 1},
		"consumer to SQS":             {pkg{ImportPath: module + "/consumer", Deps: []string{"github.com/aws/aws-sdk-go-v2/service/sqs"}}, 0},
		"dedupe to consumer":          {pkg{ImportPath: module + "/dedupe/storetest", Deps: []string{module + "/consumer"}}, 1},
		"names to dedupe":             {pkg{ImportPath: module + "/names", Deps: []string{module + "/dedupe/protocol"}}, 1},
		"names to the SDK":            {pkg{ImportPath: module + "/names", Deps: []string{"github.com/aws/aws-sdk-go-v2/aws"}}, 1},
		"names to JMESPath":           {pkg{ImportPath: module + "/names", Deps: []string{"github.com/jmespath-community/go-jmespath"}}, 0},
		"target to the root":          {pkg{ImportPath: module + "/internal/target", Imports: []string{module}}, 1},
		"consumer to the root":        {pkg{ImportPath: module + "/consumer", Imports: []string{module}}, 1},
		"worker to the root":          {pkg{ImportPath: module + "/cmd/worker", Imports: []string{module}}, 0},
		"root to consumer and dedupe": {pkg{ImportPath: module, Deps: []string{module + "/consumer", module + "/dedupe"}}, 0},
		"names to consumer":           {pkg{ImportPath: module + "/names", Deps: []string{module + "/consumer"}}, 1},
		"dedupe to its store":         {pkg{ImportPath: module + "/dedupe", Deps: []string{module + "/dedupe/dynamo"}}, 1},
		"store to dedupe":             {pkg{ImportPath: module + "/dedupe/dynamo", Deps: []string{module + "/dedupe"}}, 0},
		"dedupe to the SDK":           {pkg{ImportPath: module + "/dedupe", Imports: []string{"github.com/aws/aws-sdk-go-v2/aws"}}, 1},
		"dedupe to std and the cache": {pkg{ImportPath: module + "/dedupe", Imports: []string{"fmt", "github.com/hashicorp/golang-lru/v2/simplelru"}}, 0},
		"dedupe to its protocol":      {pkg{ImportPath: module + "/dedupe", Imports: []string{protocol}, Deps: []string{protocol}}, 0},
		"protocol to dedupe":          {pkg{ImportPath: protocol, Imports: []string{module + "/dedupe"}}, 1},
		"binary with the CDK":         {pkg{ImportPath: module + "/cmd/worker", Deps: []string{"github.com/aws/aws-cdk-go/awscdk/v2", "github.com/aws/jsii-runtime-go"}}, 2},
		"root to S3":                  {pkg{ImportPath: module, Deps: []string{"github.com/aws/aws-sdk-go-v2/service/s3"}}, 1},
		"worker to S3":                {pkg{ImportPath: module + "/cmd/worker", Deps: []string{"github.com/aws/aws-sdk-go-v2/service/s3"}}, 0},
		"similar name":                {pkg{ImportPath: module + "/consumer", Deps: []string{module + "/dedupeother"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := violations([]pkg{std, tc.p}); len(got) != tc.want {
				t.Errorf("%d violations, want %d: %q", len(got), tc.want, got)
			}
		})
	}
}
