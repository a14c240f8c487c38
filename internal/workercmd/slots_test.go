package workercmd

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	for name, tc := range map[string]struct {
		slots  int
		claims []claim
		want   []int
	}{
		"all idle":               {60, []claim{{weight: 2}, {weight: 1}}, []int{40, 20}},
		"all full":               {60, []claim{{weight: 2, busy: 90}, {weight: 1, busy: 90}}, []int{40, 20}},
		"one idle lends":         {60, []claim{{weight: 2, busy: 40}, {weight: 1}}, []int{60, 20}},
		"one lends the rest":     {60, []claim{{weight: 2, busy: 40}, {weight: 1, busy: 5}}, []int{55, 20}},
		"two borrow by weight":   {60, []claim{{weight: 3, busy: 30}, {weight: 1, busy: 10}, {weight: 2}}, []int{45, 15, 20}},
		"lender needs it again":  {60, []claim{{weight: 2, busy: 60}, {weight: 1, busy: 20}}, []int{40, 20}},
		"held borrows nothing":   {60, []claim{{weight: 2, busy: 40, held: true}, {weight: 1}}, []int{40, 20}},
		"one queue has them all": {60, []claim{{weight: 7, busy: 60}}, []int{60}},
		"no queue":               {60, nil, []int{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := split(tc.slots, tc.claims); !slices.Equal(got, tc.want) {
				t.Errorf("split(%d, %+v) is %v, want %v", tc.slots, tc.claims, got, tc.want)
			}
		})
	}
	t.Run("own share is always there", rapid.MakeCheck(func(t *rapid.T) {
		claims := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) claim {
			return claim{rapid.IntRange(1, 20).Draw(t, "weight"), rapid.IntRange(0, 300).Draw(t, "busy"), rapid.Bool().Draw(t, "held")}
		}), 1, 6).Draw(t, "claims")
		slots := rapid.IntRange(1, 200).Draw(t, "slots")
		weights := make([]int, len(claims))
		for i, c := range claims {
			weights[i] = c.weight
		}
		own, got := byWeight(slots, weights), split(slots, claims)
		used := 0
		for i, n := range got {
			if n < own[i] {
				t.Fatalf("queue %d has %d of its own %d slots", i, n, own[i])
			}
			if claims[i].held && n != own[i] {
				t.Fatalf("queue %d is held and has %d slots, %d of its own", i, n, own[i])
			}
			used += min(n, claims[i].busy)
		}
		if used > slots {
			t.Fatalf("%v: %d of %d slots can be taken", got, used, slots)
		}
		all := 0
		for _, n := range own {
			all += n
		}
		if all != slots {
			t.Fatalf("own shares are %v of %d", own, slots)
		}
	}))
}
