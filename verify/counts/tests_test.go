//go:build prose

package main

import "testing"

// testWords bounds the words in the name of a test function after "Test". A sentence belongs into
// the name of a subtest.
const testWords = 4

// longTests are the functions in tests with more than longFunction lines. A function that has
// become shorter must be removed from the list.
var longTests = map[string]bool{
	"infra/plain_test.go: TestPlainTemplate":                                          true,
	"internal/workercmd/mismatch_test.go: TestMismatch":                               true,
	"consumer/trouble_test.go: TestDeadLetterTrouble":                                 true,
	"internal/workercmd/dependencies_test.go: TestOutageBurnsNothing":                 true,
	"internal/workercmd/flags_test.go: testSettingsThatCannotWorkAreAllNamedAtOnce":   true,
	"examples/programs/kafka/main_test.go: TestConsume":                               true,
	"internal/workercmd/matrix_test.go: testOutcomeAtTheTargetDecides":                true,
	"consumer/decide_test.go: TestDecide":                                             true,
	"consumer/fifo_lanes_test.go: TestStalledWorker":                                  true,
	"consumer/fifo_test.go: play":                                                     true,
	"dedupe/leave_test.go: TestLeave":                                                 true,
	"dedupe/outcome_test.go: TestOutcome":                                             true,
	"dedupe/renew_soak_test.go: testABusyProcessKeepsItsLeases":                       true,
	"dedupe/dynamo/refusal_test.go: TestRefusedBatches":                               true,
	"dedupe/httponce/draft_test.go: TestDraft":                                        true,
	"dedupe/protocol/step_test.go: TestStepClaim":                                     true,
	"dedupe/protocol/step_test.go: TestStepOfAnAttempt":                               true,
	"infra/config_test.go: testEveryProblemIsNamedWithKeyAndValue":                    true,
	"internal/batch/batch_test.go: TestRule":                                          true,
	"internal/console/access_test.go: testOnlyWhoMayActDoes":                          true,
	"internal/doctor/doctor_test.go: TestRun_broken":                                  true,
	"internal/integration/integration_test.go: testMessagesRunAgain":                  true,
	"internal/producerapi/messages_test.go: testWhatCannotBeSentIsRefusedByField":     true,
	"internal/producerapi/openapi_test.go: testEveryDocumentedResponseIsProduced":     true,
	"internal/target/post_test.go: testRequestWithoutAWholeAnswerHasAnUnknownOutcome": true,
	"internal/target/suspicion_test.go: TestSuspicion":                                true,
	"names/unwrap_test.go: TestUnwrap":                                                true,
	"sqstest/query_test.go: TestQueryAnswersAsRecorded":                               true,
	"verify/bench/memory_test.go: TestMemory":                                         true,
}

func TestTests(t *testing.T) {
	packages, err := count("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("names have two levels", func(t *testing.T) {
		for _, p := range packages {
			for _, f := range p.tests {
				if n := words(f.name) - 1; n > testWords {
					t.Errorf("%s: %s has %d words, want at most %d and a subtest", f.file, f.name, n, testWords)
				}
			}
		}
	})
	t.Run("functions are short", func(t *testing.T) {
		long := make(map[string]bool)
		for _, p := range packages {
			for _, f := range p.long {
				if f.test {
					long[f.file+": "+f.name] = true
				}
			}
		}
		for name := range long {
			if !longTests[name] {
				t.Errorf("%s has more than %d lines", name, longFunction)
			}
		}
		for name := range longTests {
			if !long[name] {
				t.Errorf("%s is short, or gone: take it off the list", name)
			}
		}
	})
}
