package protocol

import (
	"strings"
	"testing"
	"time"
)

var (
	t0    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	alice = Token{1}
	bob   = Token{2}
	terms = Terms{Lease: 30 * time.Second, Skew: 2 * time.Second, Window: time.Hour, MaxAttempts: 3}
	hold  = func() Terms { t := terms; t.Hold = true; return t }()
	fpA   = Fingerprint{1, 0, 0, 0, 0, 'a'}
	fpB   = Fingerprint{1, 0, 0, 0, 0, 'b'}
	fpX   = Fingerprint{2, 0, 0, 0, 0, 'x'}
)

func claimBy(owner Token, now time.Time) Claim {
	return Claim{Now: now, Owner: owner, Terms: terms, ID: "s#n", Name: "n", Fingerprint: fpA, MessageID: "m1"}
}

// at returns a record of alice's attempt in the given status.
func at(s Status, attempts int) Record {
	r, _ := Step(Record{}, claimBy(alice, t0))
	r.Attempts = attempts
	switch s {
	case "":
		return Record{}
	case InProgress:
	case Completed:
		r, _ = Step(r, Complete{Now: t0, Owner: alice, Terms: terms, Result: []byte(`1`)})
	default:
		r.Status, r.LeaseUntil = s, time.Time{}
	}
	return r
}

// stepCase is an event, and the record and the verdict after it.
type stepCase struct {
	r        Record
	e        Event
	verdict  Verdict
	status   Status
	attempts int
	written  bool
}

// check applies the event at the time now, and returns the next record.
func (tc stepCase) check(t *testing.T, now time.Time) Record {
	t.Helper()
	next, verdict := Step(tc.r, tc.e)
	if verdict != tc.verdict || next.Status != tc.status || next.Attempts != tc.attempts {
		t.Errorf("got verdict %d, %q, %d attempts; want %d, %q, %d",
			verdict, next.Status, next.Attempts, tc.verdict, tc.status, tc.attempts)
	}
	if written := next.Version != tc.r.Version; written != tc.written {
		t.Errorf("written: %v, want %v", written, tc.written)
	}
	if tc.written {
		checkStep(t, tc.r, next, now)
	}
	return next
}

func TestStepClaim(t *testing.T) {
	lapsed := t0.Add(terms.Lease + terms.Skew + time.Millisecond)
	edge := t0.Add(terms.Lease + terms.Skew)
	expired := t0.Add(3 * time.Hour)
	order := func(id string, now time.Time) Claim {
		c := claimBy(bob, now)
		c.RedriveOrder, c.MessageID, c.Fingerprint = true, id, fpB
		return c
	}
	with := func(c Claim, f func(*Claim)) Claim { f(&c); return c }
	newer := at(Retrying, 1)
	newer.Format = Format + 1
	spentRec := at(Rejected, 3)
	spentRec.ReopenedBy = "m9"
	inProgressExpired := at(InProgress, 1)
	inProgressExpired.ExpiresAt = t0

	for name, tc := range map[string]stepCase{
		"an absent name is claimed":                           {at("", 0), claimBy(bob, t0), VerdictApply, InProgress, 1, true},
		"a retrying name is claimed and counted":              {at(Retrying, 1), claimBy(bob, t0), VerdictApply, InProgress, 2, true},
		"a released name starts at one":                       {at(Retrying, 0), claimBy(bob, t0), VerdictApply, InProgress, 1, true},
		"a forgotten name is claimed anew":                    {at(Forgotten, 2), claimBy(bob, t0), VerdictApply, InProgress, 1, true},
		"a live lease makes the other wait":                   {at(InProgress, 1), claimBy(bob, t0), VerdictWait, InProgress, 1, false},
		"a lease within the skew margin makes the other wait": {at(InProgress, 1), claimBy(bob, edge), VerdictWait, InProgress, 1, false},
		"a lapsed lease is taken over":                        {at(InProgress, 1), claimBy(bob, lapsed), VerdictApply, InProgress, 2, true},
		"a lapsed lease is parked under hold":                 {at(InProgress, 1), with(claimBy(bob, lapsed), func(c *Claim) { c.Terms = hold }), VerdictUnknown, Unknown, 1, true},
		"an own claim stands":                                 {at(InProgress, 1), claimBy(alice, lapsed), VerdictApply, InProgress, 1, false},
		"a completed name is replayed":                        {at(Completed, 1), claimBy(bob, t0), VerdictReplay, Completed, 1, false},
		"a completed name with another payload mismatches":    {at(Completed, 1), with(claimBy(bob, t0), func(c *Claim) { c.Fingerprint = fpB }), VerdictMismatch, Completed, 1, false},
		"a running name with another payload mismatches":      {at(InProgress, 1), with(claimBy(bob, t0), func(c *Claim) { c.Fingerprint = fpB }), VerdictMismatch, InProgress, 1, false},
		"a fingerprint of another scheme is not compared":     {at(Completed, 1), with(claimBy(bob, t0), func(c *Claim) { c.Fingerprint = fpX }), VerdictReplay, Completed, 1, false},
		"no fingerprint is not compared":                      {at(Completed, 1), with(claimBy(bob, t0), func(c *Claim) { c.Fingerprint = Fingerprint{} }), VerdictReplay, Completed, 1, false},
		"an expired completion is claimed anew":               {at(Completed, 1), with(claimBy(bob, expired), func(c *Claim) { c.Fingerprint = fpB }), VerdictApply, InProgress, 1, true},
		"expiry does not touch a live lease":                  {inProgressExpired, claimBy(bob, t0.Add(time.Second)), VerdictWait, InProgress, 1, false},
		"a rejected name stays rejected":                      {at(Rejected, 3), claimBy(bob, t0), VerdictRejected, Rejected, 3, false},
		"an unspent order re-opens a rejected name":           {at(Rejected, 3), order("m9", t0), VerdictApply, InProgress, 1, true},
		"a spent order does not re-open it again":             {spentRec, with(order("m9", t0), func(c *Claim) { c.Fingerprint = fpA }), VerdictRejected, Rejected, 3, false},
		"an order does not re-open a completed name":          {at(Completed, 1), with(order("m9", t0), func(c *Claim) { c.Fingerprint = fpA }), VerdictReplay, Completed, 1, true},
		"an order does not re-open an unknown name":           {at(Unknown, 1), with(order("m9", t0), func(c *Claim) { c.Fingerprint = fpA }), VerdictUnknown, Unknown, 1, true},
		"attempts used up reject":                             {at(Retrying, 3), claimBy(bob, t0), VerdictExhausted, Rejected, 3, true},
		"a lapsed lease with attempts used up rejects":        {at(InProgress, 3), claimBy(bob, lapsed), VerdictExhausted, Rejected, 3, true},
		"an unknown name stays parked":                        {at(Unknown, 1), claimBy(bob, t0), VerdictUnknown, Unknown, 1, false},
		"a newer format is left alone":                        {newer, claimBy(bob, t0), VerdictUnreadable, Retrying, 1, false},
		"an alien status is left alone":                       {at("SOLVED", 1), claimBy(bob, t0), VerdictUnreadable, "SOLVED", 1, false},
	} {
		t.Run(name, tc.checkClaim)
	}
}

// checkClaim checks a claim, and its owner, fence, lease and redrive order.
func (tc stepCase) checkClaim(t *testing.T) {
	c := tc.e.(Claim)
	next := tc.check(t, c.Now)
	if next.Status == InProgress && tc.written {
		if next.Owner != c.Owner || next.Fence != next.Version || !next.LeaseUntil.Equal(c.Now.Add(terms.Lease)) {
			t.Errorf("claim not by its owner, fence and lease: %+v", next)
		}
	}
	if c.RedriveOrder && tc.written && next.ReopenedBy != c.MessageID {
		t.Errorf("the order is not spent: reopened_by %q", next.ReopenedBy)
	}
}

// fataler is the part of testing.T that rapid.T has too.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkStep checks the invariants of every write.
func checkStep(t fataler, old, next Record, now time.Time) {
	t.Helper()
	if next.Version <= old.Version || next.Version < Version(now.UnixMilli()) {
		t.Errorf("version %d does not rise over %d and the clock", next.Version, old.Version)
	}
	if next.Fence < old.Fence {
		t.Errorf("fence fell from %d to %d", old.Fence, next.Fence)
	}
	if next.ExpiresAt.Before(now.Add(terms.Window)) {
		t.Errorf("expires at %s, before the window's end", next.ExpiresAt)
	}
	if (next.Status == InProgress) == next.LeaseUntil.IsZero() {
		t.Errorf("%s with lease until %s", next.Status, next.LeaseUntil)
	}
	if (next.Status == Completed) == next.CompletedAt.IsZero() {
		t.Errorf("%s completed at %s", next.Status, next.CompletedAt)
	}
	if next.Format != Format || next.CreatedAt.IsZero() || next.ID == "" || next.Name == "" {
		t.Errorf("an incomplete record: %+v", next)
	}
	if old.Status == Completed && old.Live(now, terms.Skew) && next.Status == Completed && string(next.Result) != string(old.Result) {
		t.Errorf("a completed result changed from %s to %s", old.Result, next.Result)
	}
}

func TestStepOfAnAttempt(t *testing.T) {
	late := t0.Add(time.Minute)
	for name, tc := range map[string]stepCase{
		"the owner renews":                          {at(InProgress, 1), Renew{late, alice, terms}, VerdictApply, InProgress, 1, true},
		"a stranger does not renew":                 {at(InProgress, 1), Renew{t0, bob, terms}, VerdictLost, InProgress, 1, false},
		"a parked attempt does not renew":           {at(Unknown, 1), Renew{t0, alice, terms}, VerdictLost, Unknown, 1, false},
		"the owner completes, also late":            {at(InProgress, 1), Complete{Now: late, Owner: alice, Terms: terms}, VerdictApply, Completed, 1, true},
		"a stranger does not complete":              {at(InProgress, 1), Complete{Now: t0, Owner: bob, Terms: terms}, VerdictLost, InProgress, 1, false},
		"an own completion is recognised":           {at(Completed, 1), Complete{Now: late, Owner: alice, Terms: terms}, VerdictApply, Completed, 1, false},
		"a late completion of a parked attempt":     {at(Unknown, 1), Complete{Now: late, Owner: alice, Terms: terms}, VerdictApply, Completed, 1, true},
		"a stranger does not complete a parked one": {at(Unknown, 1), Complete{Now: late, Owner: bob, Terms: terms}, VerdictLost, Unknown, 1, false},
		"a rejected name is not completed":          {at(Rejected, 1), Complete{Now: late, Owner: alice, Terms: terms}, VerdictLost, Rejected, 1, false},
		"a failure is tried again":                  {at(InProgress, 1), Fail{Now: t0, Owner: alice, Terms: terms}, VerdictApply, Retrying, 1, true},
		"the last attempt's failure rejects":        {at(InProgress, 3), Fail{Now: t0, Owner: alice, Terms: terms}, VerdictApply, Rejected, 3, true},
		"the last delivery's failure rejects":       {at(InProgress, 1), Fail{Now: t0, Owner: alice, Terms: terms, LastDelivery: true}, VerdictApply, Rejected, 1, true},
		"a permanent failure rejects":               {at(InProgress, 1), Fail{Now: t0, Owner: alice, Terms: terms, Kind: FailPermanent}, VerdictApply, Rejected, 1, true},
		"an unknown outcome is parked":              {at(InProgress, 1), Fail{Now: t0, Owner: alice, Terms: terms, Kind: FailUnknown}, VerdictApply, Unknown, 1, true},
		"an own failure is recognised":              {at(Retrying, 1), Fail{Now: late, Owner: alice, Terms: terms}, VerdictApply, Retrying, 1, false},
		"an own rejection is recognised":            {at(Rejected, 3), Fail{Now: late, Owner: alice, Terms: terms}, VerdictApply, Rejected, 3, false},
		"a stranger does not fail it":               {at(InProgress, 1), Fail{Now: t0, Owner: bob, Terms: terms}, VerdictLost, InProgress, 1, false},
		"a failure of a completed one is a replay":  {at(Completed, 1), Fail{Now: t0, Owner: alice, Terms: terms}, VerdictReplay, Completed, 1, false},
		"a stranger's failure changes no outcome":   {at(Completed, 1), Fail{Now: t0, Owner: bob, Terms: terms}, VerdictLost, Completed, 1, false},
		"a released attempt is not counted":         {at(InProgress, 2), Release{t0, alice, terms}, VerdictApply, Retrying, 1, true},
		"an own release is recognised":              {at(Retrying, 1), Release{t0, alice, terms}, VerdictApply, Retrying, 1, false},
		"a stranger does not release":               {at(InProgress, 2), Release{t0, bob, terms}, VerdictLost, InProgress, 2, false},
		"a release of a completed one is a replay":  {at(Completed, 1), Release{t0, alice, terms}, VerdictReplay, Completed, 1, false},

		"an attempt leaves, and counts":         {at(InProgress, 2), leave(alice, 2, true), VerdictApply, InProgress, 2, true},
		"an attempt leaves, and does not count": {at(InProgress, 2), leave(alice, 2, false), VerdictApply, InProgress, 1, true},
		"a stranger does not leave":             {at(InProgress, 2), leave(bob, 2, true), VerdictLost, InProgress, 2, false},
		"an own leaving is recognised":          {leftByAlice(), leave(alice, 1, false), VerdictApply, InProgress, 0, false},
		"a leaving of a completed one":          {at(Completed, 1), leave(alice, 1, true), VerdictReplay, Completed, 1, false},
		"a leaving of a parked one":             {at(Unknown, 1), leave(alice, 1, true), VerdictLost, Unknown, 1, false},

		"a rejected name is re-opened":         {at(Rejected, 3), Reopen{Now: t0, Terms: terms}, VerdictApply, Retrying, 0, true},
		"an unknown name is re-opened":         {at(Unknown, 1), Reopen{Now: t0, Terms: terms}, VerdictApply, Retrying, 0, true},
		"a retrying name needs no re-opening":  {at(Retrying, 1), Reopen{Now: t0, Terms: terms}, VerdictApply, Retrying, 1, false},
		"a completed name is not re-opened":    {at(Completed, 1), Reopen{Now: t0, Terms: terms}, VerdictReplay, Completed, 1, false},
		"a running name is not re-opened":      {at(InProgress, 1), Reopen{Now: t0, Terms: terms}, VerdictWait, InProgress, 1, false},
		"an absent name is not re-opened":      {at("", 0), Reopen{Now: t0, Terms: terms}, VerdictLost, "", 0, false},
		"an unknown name is resolved":          {at(Unknown, 1), Resolve{Now: t0, Terms: terms}, VerdictApply, Completed, 1, true},
		"a completed name needs no resolving":  {at(Completed, 1), Resolve{Now: t0, Terms: terms}, VerdictApply, Completed, 1, false},
		"a rejected name is not resolved":      {at(Rejected, 1), Resolve{Now: t0, Terms: terms}, VerdictRejected, Rejected, 1, false},
		"a running name is not resolved":       {at(InProgress, 1), Resolve{Now: t0, Terms: terms}, VerdictWait, InProgress, 1, false},
		"a retrying name is not resolved":      {at(Retrying, 1), Resolve{Now: t0, Terms: terms}, VerdictLost, Retrying, 1, false},
		"an absent name is not resolved":       {at("", 0), Resolve{Now: t0, Terms: terms}, VerdictLost, "", 0, false},
		"a completed name is forgotten":        {at(Completed, 1), Forget{Now: t0, Terms: terms}, VerdictApply, Forgotten, 0, true},
		"a live lease is not forgotten":        {at(InProgress, 1), Forget{Now: t0, Terms: terms}, VerdictWait, InProgress, 1, false},
		"a live lease is forgotten by force":   {at(InProgress, 1), Forget{Now: t0, Terms: terms, Force: true}, VerdictApply, Forgotten, 0, true},
		"a forgotten name needs no forgetting": {at(Forgotten, 0), Forget{Now: t0, Terms: terms}, VerdictApply, Forgotten, 0, false},
		"a forgotten attempt cannot complete":  {forgottenUnderAlice(), Complete{Now: t0, Owner: alice, Terms: terms}, VerdictLost, Forgotten, 0, false},
		"a re-opened attempt cannot complete":  {reopenedUnderAlice(), Complete{Now: t0, Owner: alice, Terms: terms}, VerdictLost, Retrying, 0, false},
	} {
		t.Run(name, func(t *testing.T) { tc.check(t, t0) })
	}
}

// leave ends an attempt whose work may run on for two minutes.
func leave(owner Token, number int, counted bool) Leave {
	return Leave{Now: t0, Owner: owner, Terms: terms, Number: number, Until: t0.Add(2 * time.Minute), Counted: counted, Error: "timeout"}
}

func leftByAlice() Record {
	r, _ := Step(at(InProgress, 1), leave(alice, 1, false))
	return r
}

func TestLeave(t *testing.T) {
	until := t0.Add(2 * time.Minute)
	left, _ := Step(at(InProgress, 2), leave(alice, 2, true))
	if left.Owner != alice || !left.LeaseUntil.Equal(until) || left.Error != "timeout" || left.Fence != at(InProgress, 2).Fence {
		t.Errorf("left behind: %+v", left)
	}
	if !left.ExpiresAt.After(until.Add(terms.Window - time.Second)) {
		t.Errorf("expires at %s, less than a window after %s", left.ExpiresAt, until)
	}
	edge := until.Add(terms.Skew)
	for name, tc := range map[string]struct {
		now     time.Time
		terms   Terms
		verdict Verdict
		status  Status
	}{
		"held after the lease would have lapsed": {t0.Add(terms.Lease + 2*terms.Skew), terms, VerdictWait, InProgress},
		"held at the end of the margin":          {edge, terms, VerdictWait, InProgress},
		"free after it":                          {edge.Add(time.Millisecond), terms, VerdictApply, InProgress},
		"parked after it, under hold":            {edge.Add(time.Millisecond), hold, VerdictUnknown, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			c := claimBy(bob, tc.now)
			c.Terms = tc.terms
			if next, verdict := Step(left, c); verdict != tc.verdict || next.Status != tc.status {
				t.Errorf("verdict %d, %s; want %d, %s", verdict, next.Status, tc.verdict, tc.status)
			}
		})
	}
}

func forgottenUnderAlice() Record {
	r, _ := Step(at(InProgress, 1), Forget{Now: t0, Terms: terms, Force: true})
	return r
}

func reopenedUnderAlice() Record {
	r, _ := Step(at(Unknown, 1), Reopen{Now: t0, Terms: terms})
	return r
}

func TestStep(t *testing.T) {
	t.Run("reopened name takes another payload", testAReopenedNameTakesAnotherPayload)
	t.Run("record without an owner is owned by no token", testRecordWithoutAnOwnerIsOwnedByNoToken)
	t.Run("completion in the millisecond of a lost renewal is still written", testACompletionInTheMillisecondOfALostRenewalIsStillWritten)
	t.Run("version rises when the clock is behind the stored one", testAVersionRisesWhenTheClockIsBehindTheStoredOne)
	t.Run("stored error is cut between characters", testAStoredErrorIsCutBetweenCharacters)
}

func testAReopenedNameTakesAnotherPayload(t *testing.T) {
	refused := at(Rejected, 3)
	refused.Fingerprint = Fingerprint{1, 0, 0, 0, 0, 1}
	open, _ := Step(refused, Reopen{Now: t0, Terms: terms})
	mended := Claim{Now: t0, Owner: Token{9}, Terms: terms, Name: "n", Fingerprint: Fingerprint{1, 0, 0, 0, 0, 2}}
	if _, v := Step(refused, mended); v != VerdictMismatch {
		t.Errorf("before: verdict %v", v)
	}
	if next, v := Step(open, mended); v != VerdictApply || next.Fingerprint != mended.Fingerprint {
		t.Errorf("after: verdict %v, %+v", v, next)
	}
}

func testRecordWithoutAnOwnerIsOwnedByNoToken(t *testing.T) {
	resolved, _ := Step(at(Unknown, 1), Resolve{Now: t0, Terms: terms})
	for _, e := range []Event{
		Complete{Now: t0, Terms: terms}, Fail{Now: t0, Terms: terms}, Release{Now: t0, Terms: terms}, Renew{Now: t0, Terms: terms},
		Leave{Now: t0, Terms: terms, Until: t0},
	} {
		for _, r := range []Record{resolved, reopenedUnderAlice(), forgottenUnderAlice(), {}} {
			if next, verdict := Step(r, e); verdict != VerdictLost || next.Version != r.Version {
				t.Errorf("%T on %s: verdict %d", e, r.Status, verdict)
			}
		}
	}
}

func testACompletionInTheMillisecondOfALostRenewalIsStillWritten(t *testing.T) {
	claimed, _ := Step(Record{}, claimBy(alice, t0))
	renewed, _ := Step(claimed, Renew{t0, alice, terms}) // applied, but its answer was lost
	fromOld, _ := Step(claimed, Complete{Now: t0, Owner: alice, Terms: terms, Result: []byte(`1`)})
	if fromOld.Version != renewed.Version {
		t.Fatalf("the two writes were to have one version, got %d and %d", fromOld.Version, renewed.Version)
	}
	next, verdict := Step(renewed, Complete{Now: t0, Owner: alice, Terms: terms, Result: []byte(`1`)})
	if verdict != VerdictApply || next.Status != Completed || next.Version == renewed.Version {
		t.Errorf("the outcome is lost: verdict %d, %s", verdict, next.Status)
	}
}

func testAVersionRisesWhenTheClockIsBehindTheStoredOne(t *testing.T) {
	r := at(Retrying, 1)
	next, verdict := Step(r, claimBy(bob, t0.Add(-time.Hour)))
	if verdict != VerdictApply || next.Version != r.Version+1 || next.Fence != next.Version {
		t.Errorf("verdict %d, version %d after %d, fence %d", verdict, next.Version, r.Version, next.Fence)
	}
}

func testAStoredErrorIsCutBetweenCharacters(t *testing.T) {
	next, _ := Step(at(InProgress, 1), Fail{Now: t0, Owner: alice, Terms: terms, Error: strings.Repeat("é", MaxErrorBytes)})
	if len(next.Error) != MaxErrorBytes || strings.ContainsRune(next.Error, '\uFFFD') {
		t.Errorf("error has %d bytes", len(next.Error))
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"order-17": true, "häuser/ü #1": true, strings.Repeat("x", MaxNameBytes): true,
		"": false, strings.Repeat("x", MaxNameBytes+1): false, "a\nb": false, "a\x7f": false, "a\u0085": false, "\xff": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

// Only the store changes Listed. Every event preserves it.
func TestStep_listed(t *testing.T) {
	now, owner := time.UnixMilli(1_790_000_000_000), Token{1}
	terms := Terms{Lease: time.Minute, Skew: time.Second, Window: time.Hour, MaxAttempts: 3}
	for _, status := range []Status{InProgress, Completed, Retrying, Rejected, Unknown, Forgotten} {
		for _, owned := range []Token{owner, {2}} {
			for _, expires := range []time.Time{now.Add(time.Hour), now.Add(-time.Hour)} {
				r := Record{
					ID: "q#a", Name: "a", Format: Format, Status: status, Version: 7, Fence: 7, Owner: owned, Attempts: 1,
					LeaseUntil: now.Add(-time.Minute), ExpiresAt: expires, Listed: true,
				}
				for _, e := range []Event{
					Claim{Now: now, Owner: Token{3}, Terms: terms, ID: "q#a", Name: "a"},
					Claim{Now: now, Owner: Token{3}, Terms: terms, ID: "q#a", Name: "a", MessageID: "m", RedriveOrder: true},
					Renew{Now: now, Owner: owner, Terms: terms}, Complete{Now: now, Owner: owner, Terms: terms},
					Fail{Now: now, Owner: owner, Terms: terms}, Release{Now: now, Owner: owner, Terms: terms},
					Reopen{Now: now, Terms: terms}, Resolve{Now: now, Terms: terms}, Forget{Now: now, Terms: terms, Force: true},
				} {
					if next, _ := Step(r, e); !next.Listed {
						t.Errorf("%T on %s: %+v is not listed any more", e, status, next)
					}
				}
			}
		}
	}
}

// An operator's verb stays on the record through attempts and redrives until the next verb. It is
// dropped with an expired record.
func TestLastVerb(t *testing.T) {
	said := func(r Record, verb, by string, at time.Time) {
		t.Helper()
		if v, b, when := r.LastVerb(); v != verb || b != by || !when.Equal(at) {
			t.Errorf("the last verb of a name that is %s is %q by %q at %s, want %q by %q", r.Status, v, b, when, verb, by)
		}
	}
	step := func(r Record, e Event) Record {
		t.Helper()
		next, verdict := Step(r, e)
		if verdict != VerdictApply {
			t.Fatalf("%T has verdict %d", e, verdict)
		}
		return next
	}
	said(at(Completed, 1), "", "", time.Time{})
	r := step(at(Unknown, 1), Reopen{Now: t0, By: "alice of ops", Terms: terms})
	said(r, "reopen", "alice of ops", t0)
	r = step(r, claimBy(bob, t0))
	r = step(r, Fail{Now: t0, Owner: bob, Terms: terms, Kind: FailPermanent})
	said(r, "reopen", "alice of ops", t0)
	order := claimBy(alice, t0)
	order.RedriveOrder, order.MessageID = true, "m9"
	r = step(r, order)
	r = step(r, Fail{Now: t0, Owner: alice, Terms: terms, Kind: FailUnknown})
	said(r, "reopen", "alice of ops", t0)
	later := t0.Add(time.Minute)
	said(step(r, Resolve{Now: later, By: "", Terms: terms}), "resolve", "", later)
	r = step(r, Forget{Now: later, By: "bob", Terms: terms})
	said(r, "forget", "bob", later)
	r = step(r, claimBy(bob, later))
	said(r, "forget", "bob", later)
	said(step(r, claimBy(alice, r.ExpiresAt.Add(terms.Lease))), "", "", time.Time{})
	long := step(at(Unknown, 1), Reopen{Now: t0, By: strings.Repeat("x", 1000), Terms: terms})
	said(long, "reopen", strings.Repeat("x", maxBy), t0)
	said(Record{Operated: "reopen then alice"}, "", "", time.Time{})
}
