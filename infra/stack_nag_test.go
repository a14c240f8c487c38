package infra

import (
	"strings"
	"testing"
)

func TestNag(t *testing.T) {
	t.Run("rules of aws solutions hold", testTheRulesOfAwsSolutionsHold)
}

// A rule that could not be checked, which is a warning, fails the test, too.
func testTheRulesOfAwsSolutionsHold(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		for _, message := range b.messages {
			t.Error(message)
		}
	})
}

func TestEverySuppressionIsArgued(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		count := 0
		for id, r := range b.template.Resources {
			for _, s := range suppressions(r) {
				count++
				if reason, _ := s["reason"].(string); len(strings.Fields(reason)) < 6 {
					t.Errorf("%s: %v is suppressed because %q: say why it does not apply here", id, s["id"], reason)
				}
			}
		}
		if count == 0 {
			t.Error("no suppression was looked at")
		}
	})
}

// suppressions returns the suppressed rules of a resource.
func suppressions(r resource) []map[string]any {
	nag, _ := r.Metadata["cdk_nag"].(map[string]any)
	list, _ := nag["rules_to_suppress"].([]any)
	var found []map[string]any
	for _, s := range list {
		found = append(found, s.(map[string]any))
	}
	return found
}
