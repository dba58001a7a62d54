package payment

import "testing"

// renewal is an authorization of an order, made and read at these seconds.
func renewal(id, of string, minor, capturable int64, created, asOf int) Authorization {
	a := authorized(1, id, minor, capturable, asOf)
	a.Key, a.Replaces, a.Stamp = paypalKey(id), of, stamp(created, asOf)
	return a
}

func letGo(a Authorization) Authorization {
	a.State = AuthVoided
	return a
}

func takenOf(id, auth string, minor int64, created int) Capture {
	c := captured(1, id, minor, created)
	c.Key, c.Auth = paypalKey(id), auth
	return c
}

// Promise (I1, I6): an order holds its money once, however often that was renewed, in
// whatever order its readings come and whatever each of them says that it renews: a reading
// without the order saw not all of them. What was denied holds nothing, and replaces nothing.
func TestOrderIsHeldOnce(t *testing.T) {
	t.Parallel()
	held := func(asOf int, all ...Authorization) Facts {
		return with(attempts(order(1, AttemptAuthorized, 5000, asOf)), authorizations(all...))
	}
	a1, a2, a3 := renewal("A1", "", 5000, 5000, 1, 20), renewal("A2", "A1", 5000, 5000, 5, 20), renewal("A3", "A2", 5000, 5000, 9, 20)
	denied := renewal("A4", "", 5000, 0, 12, 20)
	denied.State = AuthDenied
	for name, two := range map[string][2]Facts{
		"the last one names the root":   {held(20, a1, a2, a3), held(30, renewal("A3", "A1", 5000, 5000, 9, 30))},
		"the last one names none":       {held(20, a1, a2, a3), held(30, renewal("A3", "", 5000, 5000, 9, 30))},
		"the only renewal names none":   {held(20, a1, a2), held(30, renewal("A2", "", 5000, 5000, 5, 30))},
		"the root is read once more":    {held(20, a1, a2), held(30, renewal("A1", "", 5000, 5000, 1, 30))},
		"the last renewal was denied":   {held(20, a1, a2, denied), held(30, renewal("A2", "", 5000, 5000, 5, 30))},
		"nothing of the one in between": {held(20, a1), held(30, renewal("A3", "A2", 5000, 5000, 9, 30))},
	} {
		for _, f := range []Facts{with(manual(opened(1, "paypal")), two[0], two[1]), with(manual(opened(1, "paypal")), two[1], two[0])} {
			if a := f.Amounts(nil); a.Authorized != 5000 || a.Capturable != 5000 || f.Status() != StatusAuthorized || f.authorizedIn(1) != 5000 {
				t.Errorf("%s: %s, %+v, %d may be captured", name, f.Status(), a, f.authorizedIn(1))
			}
		}
	}
	beside := with(manual(opened(1, "stripe")), attempts(session(1, AttemptAuthorized, 5000, 20)), authorizations(authorized(1, "a1", 2000, 2000, 9), authorized(1, "a2", 3000, 3000, 9)))
	if a := beside.Amounts(nil); a.Authorized != 5000 || a.Capturable != 5000 || beside.authorizedIn(1) != 5000 {
		t.Errorf("what is no order may be held in parts: %+v", a)
	}
}

// Promise (I7): what was captured of an order before its hold was renewed for the rest is no
// conflict, whether or not it says of which hold it was, or that hold was seen; more than
// the order is for is one, as ever.
func TestTakenBeforeARenewal(t *testing.T) {
	t.Parallel()
	one := with(manual(opened(1, "paypal")), attempts(order(1, AttemptAuthorized, 5000, 20)))
	both := authorizations(renewal("A1", "", 5000, 0, 1, 20), renewal("A2", "A1", 1000, 1000, 10, 20))
	alone := authorizations(renewal("A2", "A1", 1000, 1000, 10, 20))
	denied := renewal("A0", "", 5000, 0, 0, 20)
	denied.State = AuthDenied
	runFacts(t, []factsCase{
		{"it names its hold", with(one, both, captures(takenOf("C1", "A1", 4000, 5))), StatusAuthorized},
		{"it names none", with(one, both, captures(takenOf("C1", "", 4000, 5))), StatusAuthorized},
		{"its hold was never seen", with(one, alone, captures(takenOf("C1", "A1", 4000, 5))), StatusAuthorized},
		{"it names none, and was never seen", with(one, alone, captures(takenOf("C1", "", 4000, 5))), StatusAuthorized},
		{"more of the renewal than it holds", with(one, both, captures(takenOf("C1", "", 1001, 15))), StatusConflicted},
		{"more than the order is for", with(one, both, captures(takenOf("C1", "", 4001, 5), takenOf("C2", "", 1000, 15))), StatusConflicted},
		{"of one that was renewed for more, and then of the rest", with(one,
			authorizations(renewal("A1", "", 5000, 0, 1, 20), renewal("A2", "A1", 5750, 0, 10, 20), renewal("A3", "A1", 2000, 0, 16, 20)),
			captures(takenOf("C1", "A2", 3500, 15), takenOf("C2", "A3", 2000, 18))), StatusSucceeded},
		{"of one second, named the other way round", with(one, authorizations(renewal("A1", "A9", 5000, 5000, 1, 20), letGo(renewal("A9", "", 5000, 0, 1, 20)))), StatusAuthorized},
		{"twice", with(one, authorizations(renewal("A1", "", 5000, 0, 1, 20)), captures(takenOf("C1", "A1", 5000, 5), takenOf("C2", "A1", 5000, 6))), StatusConflicted},
		{"of a hold beside one that was denied", with(one, authorizations(denied, renewal("A1", "", 5000, 0, 1, 20)), captures(takenOf("C1", "A1", 5001, 5))), StatusConflicted},
	})
	behind := with(one, authorizations(renewal("A1", "", 5000, 5000, 1, 20), renewal("A2", "A1", 5000, 5000, 10, 20)), captures(takenOf("C1", "", 2000, 15)))
	if got := behind.Amounts(nil).Capturable; got != 3000 {
		t.Errorf("a reading that lags behind a capture that names nothing: %d capturable, want 3000", got)
	}
}
