package infra

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pseudo are the parameters that need no declaration.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/pseudo-parameter-reference.html
var pseudo = []string{
	"AWS::AccountId", "AWS::NoValue", "AWS::NotificationARNs", "AWS::Partition", "AWS::Region",
	"AWS::StackId", "AWS::StackName", "AWS::URLSuffix",
}

func TestTemplate(t *testing.T) {
	t.Run("nothing in the templates dangles", testNothingInTheTemplatesDangles)
}

func testNothingInTheTemplatesDangles(t *testing.T) {
	each(t, func(t *testing.T, b built) {
		seen := 0
		for _, name := range dangling(b.template, &seen) {
			t.Error(name)
		}
		if seen < 30 {
			t.Errorf("%d references were looked at; a stack of this size has more", seen)
		}
	})
}

func TestDanglingReferencesAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		value any
		want  int
	}{
		"a resource":             {map[string]any{"Ref": "There"}, 0},
		"a pseudo parameter":     {map[string]any{"Ref": "AWS::Region"}, 0},
		"a missing resource":     {map[string]any{"Ref": "Gone"}, 1},
		"a missing attribute":    {[]any{map[string]any{"Fn::GetAtt": []any{"Gone", "Arn"}}}, 1},
		"a dotted attribute":     {map[string]any{"Fn::GetAtt": "Gone.Arn"}, 1},
		"inside a text":          {map[string]any{"Fn::Sub": "a ${There} b ${Gone.Arn} ${AWS::Region} ${!Literal}"}, 1},
		"a text with own values": {map[string]any{"Fn::Sub": []any{"${Own} ${Gone}", map[string]any{"Own": "x"}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tpl := template{Resources: map[string]resource{"There": {Properties: map[string]any{"P": tc.value}}}}
			seen := 0
			if got := dangling(tpl, &seen); len(got) != tc.want {
				t.Errorf("found %q, want %d", got, tc.want)
			}
		})
	}
	for want, dependsOn := range map[int]any{0: "There", 1: "Gone", 2: []any{"Gone", "Away"}} {
		seen := 0
		tpl := template{Resources: map[string]resource{"There": {DependsOn: dependsOn}}}
		if got := dangling(tpl, &seen); len(got) != want {
			t.Errorf("DependsOn %v: found %q, want %d", dependsOn, got, want)
		}
	}
}

// dangling returns the references to missing resources and parameters, and counts all references.
func dangling(t template, seen *int) []string {
	var found []string
	check := func(where, name string, parameters bool) {
		*seen++
		_, isResource := t.Resources[name]
		_, isParameter := t.Parameters[name]
		if !isResource && (!parameters || !isParameter && !slices.Contains(pseudo, name)) {
			found = append(found, fmt.Sprintf("%s refers to %s, which is not there", where, name))
		}
	}
	for id, r := range t.Resources {
		walk(id, r.Properties, check)
		switch on := r.DependsOn.(type) {
		case string:
			check(id+" DependsOn", on, false)
		case []any:
			for _, name := range on {
				check(id+" DependsOn", name.(string), false)
			}
		}
	}
	for id, output := range t.Outputs {
		walk("output "+id, output.Value, check)
	}
	return found
}

var substituted = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

// walk calls check for every reference in a value.
func walk(where string, value any, check func(where, name string, parameters bool)) {
	switch v := value.(type) {
	case []any:
		for _, part := range v {
			walk(where, part, check)
		}
	case map[string]any:
		for key, inner := range v {
			switch key {
			case "Ref":
				check(where, inner.(string), true)
			case "Fn::GetAtt":
				check(where, attributeOf(inner), false)
			case "Fn::Sub":
				walkText(where, inner, check)
			default:
				walk(where, inner, check)
			}
		}
	}
}

// walkText calls check for every variable in the text of a Fn::Sub.
func walkText(where string, value any, check func(where, name string, parameters bool)) {
	text, own := value, map[string]any{}
	if pair, ok := value.([]any); ok {
		text, own = pair[0], pair[1].(map[string]any)
		walk(where, own, check)
	}
	for _, match := range substituted.FindAllStringSubmatch(text.(string), -1) {
		name, _, _ := strings.Cut(match[1], ".")
		if _, ok := own[name]; !ok {
			check(where, name, true)
		}
	}
}

func attributeOf(value any) string {
	if text, ok := value.(string); ok {
		name, _, _ := strings.Cut(text, ".")
		return name
	}
	return value.([]any)[0].(string)
}
