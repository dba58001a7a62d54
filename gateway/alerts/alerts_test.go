package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards what an admin gets: one message an incident, that says what happened, what it means and what to do, with
// links; and nothing more when the same is seen again.
func TestTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail", "unused")
	w.raise("inc_1", "conflicted_payment", "critical")
	w.quiet()
	w.now = w.now.Add(time.Minute)
	w.raise("inc_1", "conflicted_payment", "critical")
	w.quiet()
	w.want("mail", "new critical conflicted_payment")
	w.want("unused")
	m := w.channels["mail"].got[0]
	k := alerts.KindOf("conflicted_payment")
	if m.Happened != "It happened: inc_1." || m.Means != k.Means || m.Do != k.Do || k.Means == "" || k.Do == "" {
		t.Errorf("text: %+v", m)
	}
	if want := "[Trifecta] critical: A payment is held: provider and order do not agree, account stripe-eu"; m.Subject() != want {
		t.Errorf("subject %q", m.Subject())
	}
	if !slices.Contains(m.Links, alerts.Link{Text: "The payment", URL: "https://pay.example.com/v1/payments/pay_1"}) {
		t.Errorf("links %v", m.Links)
	}
	a, err := w.alerts.Get(t.Context(), "inc_1")
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Told) != 1 || a.Told[0].Channel != "mail" || a.Told[0].ID != m.ID || !a.TellAt.IsZero() {
		t.Errorf("the record says %+v", a.Told)
	}
}

// Guards the life of an incident: gone and seen again soon waits for the digest, seen again later is told again, worse
// is told at once, and what somebody has seen to is not told.
func TestAgainAndWorse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail")
	w.raise("inc_1", "provider_outage", "warning")
	w.quiet()
	again := func(after time.Duration) {
		t.Helper()
		w.now = w.now.Add(after)
		if err := w.alerts.Clear(t.Context(), "inc_1", w.now); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Second)
		w.raise("inc_1", "provider_outage", "warning")
		w.quiet()
	}
	again(10 * time.Minute)
	w.want("mail", "new warning provider_outage")
	w.pass(time.Hour)
	w.want("mail", "new warning provider_outage", "digest warning digest")
	again(2 * time.Hour)
	w.now = w.now.Add(time.Minute)
	w.raise("inc_1", "provider_outage", "critical")
	w.quiet()
	w.raise("inc_2", "late_money", "critical")
	w.set("inc_2", "acked", time.Time{})
	w.pass(2 * time.Hour)
	w.want("mail", "new warning provider_outage", "digest warning digest", "again warning provider_outage", "worse critical provider_outage")
}

// Guards that a snooze ends: the alert is open again and told again.
func TestSnoozeEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail")
	w.raise("inc_1", "late_money", "critical")
	w.set("inc_1", "snoozed", w.now.Add(3*time.Hour))
	w.pass(179 * time.Minute)
	w.want("mail")
	w.pass(time.Minute)
	w.want("mail", "again critical late_money")
	if a, err := w.alerts.Get(t.Context(), "inc_1"); err != nil || a.State != "open" || !a.SnoozedUntil.IsZero() {
		t.Errorf("%v, %+v", err, a)
	}
}

// Guards routing: by kind and severity, to every matching route's channels, each once; what matches none is a record.
func TestRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{
		{MinSeverity: "critical", Channels: []string{"pager", "mail"}},
		{Kinds: []string{"dispute_*", "fraud_warning"}, Channels: []string{"mail"}},
	}}, "pager", "mail")
	w.raise("inc_1", "late_money", "critical")
	w.raise("inc_2", "dispute_opened", "warning")
	w.raise("inc_3", "dispute_due", "critical")
	w.raise("inc_4", "refund_failed", "warning")
	w.quiet()
	w.want("pager", "new critical late_money", "new critical dispute_due")
	w.want("mail", "new critical late_money", "new warning dispute_opened", "new critical dispute_due")
}

// Guards escalation: what nobody has seen to reaches the next people in time, once each; an acknowledgement stops it.
func TestEscalation(t *testing.T) {
	t.Parallel()
	rules := route("mail")
	rules.Escalations = []alerts.Escalation{
		{After: 15 * time.Minute, MinSeverity: "critical", Channels: []string{"pager"}},
		{After: time.Hour, Channels: []string{"boss", "pager"}},
	}
	w := newWorld(t, rules, "mail", "pager", "boss")
	w.raise("inc_1", "late_money", "critical")
	w.raise("inc_2", "refund_failed", "warning")
	w.pass(14 * time.Minute)
	w.want("pager")
	w.pass(time.Minute)
	w.want("pager", "escalated critical late_money")
	w.set("inc_2", "acked", time.Time{})
	w.pass(3 * time.Hour)
	w.want("pager", "escalated critical late_money", "escalated critical late_money")
	w.want("boss", "escalated critical late_money")
	w.want("mail", "new critical late_money", "new warning refund_failed")
}

// Guards that a flood reaches people as a few messages and a digest: 3,000 incidents of one kind in a quarter of a minute.
func TestFlood(t *testing.T) {
	t.Parallel()
	rules := alerts.Rules{
		Routes:      []alerts.Route{{Channels: []string{"mail", "slack"}}},
		Escalations: []alerts.Escalation{{After: 20 * time.Minute, Channels: []string{"slack"}}},
	}
	w := newWorld(t, rules, "mail", "slack")
	for i := range 3_000 {
		w.raise(fmt.Sprint("inc_", i), "refund_failed", "warning")
		if i%200 == 0 {
			w.now = w.now.Add(time.Second)
			if _, _, err := w.d.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.quiet()
	w.pass(35 * time.Minute)
	for name, want := range map[string]int64{"mail": 3_000, "slack": 6_000} { // slack's second round is the escalation
		messages, told := w.channels[name].count()
		if told != want {
			t.Errorf("%s was told of %d alerts, want %d", name, told, want)
		}
		if messages > 10 {
			t.Errorf("%s got %d messages", name, messages)
		}
		if last := w.channels[name].got[messages-1]; last.Reason != "digest" || len(last.Lines) != 1 || len(last.Lines[0].Examples) == 0 {
			t.Errorf("%s ends with %+v", name, last)
		}
	}
	b, err := w.alerts.Box(t.Context(), "mail")
	if err != nil || len(b.Items) != 0 || len(b.Recent) > 1000 {
		t.Errorf("left behind: %v, %d messages, %d ids", err, len(b.Items), len(b.Recent))
	}
}

// Guards a day without a mail server: Slack stands in for everything, the mail catches up with few messages, and
// neither misses one alert.
func TestMailDownForADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}}, "mail", "slack")
	w.channels["mail"].down()
	n := int64(0)
	for hour := range 24 {
		for i := range 7 { // more than the burst in some hours
			w.raise(fmt.Sprintf("inc_%d_%d", hour, i), []string{"late_money", "refund_failed"}[hour%2], "critical")
			n++
		}
		w.pass(time.Hour)
		if _, told := w.channels["slack"].count(); told < n-2 {
			t.Fatalf("hour %d: slack was told of %d of %d", hour, told, n)
		}
	}
	w.channels["mail"].fail = nil
	w.pass(2 * time.Hour)
	for name := range w.channels {
		messages, told := w.channels[name].count()
		if told != n {
			t.Errorf("%s was told of %d alerts of %d", name, told, n)
		}
		if name == "mail" && messages > 60 {
			t.Errorf("mail catches up with %d messages", messages)
		}
		if w.channels[name].unique() != messages {
			t.Errorf("%s got duplicates without a crash", name)
		}
	}
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items)+len(b.Digest.Tallies)+len(b.Kept.Tallies) != 0 || b.Failures != 0 {
		t.Errorf("left behind: %v, %+v", err, b)
	}
}

// Guards that one channel's trouble is its own: with nobody standing in, others are told at once, and the one that is
// down is tried less and less often, not for ever in a row.
func TestOneChannelDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail", "slack"), "mail", "slack")
	tries := 0
	w.channels["mail"].fail = func(alerts.Message) error {
		tries++
		return alerts.Failure{RetryAfter: 20 * time.Minute, Cause: errors.New("slow down")}
	}
	w.raise("inc_1", "late_money", "critical")
	w.quiet()
	w.want("slack", "new critical late_money")
	w.pass(2 * time.Hour)
	if tries < 4 || tries > 7 {
		t.Errorf("%d tries in two hours, asked to come every 20 minutes", tries)
	}
	w.channels["mail"].fail = nil
	w.pass(time.Hour)
	w.want("mail", "new critical late_money")
}

// Guards that a message which the channel refuses does not hold up the others, goes to who stands in, and is given up
// after a week.
func TestRefusedMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alerts.Rules{Routes: []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}}}, "mail", "slack")
	w.channels["mail"].fail = func(m alerts.Message) error {
		if m.Kind == "late_money" {
			return alerts.Failure{Permanent: true, Cause: errors.New("550 no")}
		}
		return nil
	}
	w.raise("inc_1", "late_money", "critical")
	w.raise("inc_2", "refund_failed", "warning")
	w.pass(10 * time.Minute)
	w.want("mail", "new warning refund_failed")
	w.want("slack", "failover critical late_money")
	w.pass(8 * 24 * time.Hour)
	if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 {
		t.Errorf("still there: %v, %+v", err, b.Items)
	}
}

// Guards what waits behind an alert whose record can't be read: it goes out all the same, alone and in digests, and the
// channel counts as working. Mended, the alert is told; never mended, its message is given up after a week.
func TestUnreadableRecordStopsNoOther(t *testing.T) {
	t.Parallel()
	for _, mended := range []bool{true, false} {
		rules := route("mail")
		rules.Burst = 1
		w := newWorld(t, rules, "mail")
		w.raise("inc_1", "late_money", "critical")
		w.raise("inc_2", "refund_failed", "warning")
		w.raise("inc_3", "late_money", "critical")                    // one too many of its kind: it goes into the digest
		if _, _, err := w.d.Steps()[0].Run(t.Context()); err != nil { // queued, not sent
			t.Fatal(err)
		}
		spoil := func(id, body string) (was string) {
			_, err := store.Update(store.WithPoint(t.Context(), store.PointAlertChange), w.engine, "alerts", id, func(d store.Doc) (store.Doc, error) {
				was, d.Body = string(d.Body), []byte(body)
				return d, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return was
		}
		whole := spoil("inc_1", `{"schema":1,"alert":{"ID":7}}`)
		spoil("inc_3", `{"schema":1,"alert":{"ID":7}}`)
		minutes := func(n int) (failed int) {
			for range n {
				if _, _, err := w.d.Step(t.Context()); err != nil {
					failed++
				}
				w.now = w.now.Add(time.Minute)
			}
			return failed
		}
		failed := minutes(70)
		w.want("mail", "new warning refund_failed", "digest critical digest")
		b, err := w.alerts.Box(t.Context(), "mail")
		if err != nil || len(b.Items) != 1 || b.Down() || failed != 0 {
			t.Fatalf("%v after %d failed steps: %+v", err, failed, b)
		}
		if mended {
			spoil("inc_1", whole)
			minutes(20)
			w.want("mail", "new warning refund_failed", "digest critical digest", "new critical late_money")
			continue
		}
		minutes(8 * 24 * 60)
		if b, err := w.alerts.Box(t.Context(), "mail"); err != nil || len(b.Items) != 0 {
			t.Errorf("still there: %v, %+v", err, b.Items)
		}
	}
}

// Guards quiet hours: a warning waits for the morning, what is critical does not.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	rules := route("mail")
	rules.Quiet = alerts.Quiet{From: 22 * 60, To: 7 * 60, Zone: time.UTC}
	w := newWorld(t, rules, "mail")
	w.now = time.Date(2026, 5, 4, 23, 0, 0, 0, time.UTC)
	w.raise("inc_1", "refund_failed", "warning")
	w.raise("inc_2", "dispute_opened", "warning")
	w.raise("inc_3", "late_money", "critical")
	w.pass(7*time.Hour + 59*time.Minute)
	w.want("mail", "new critical late_money")
	w.pass(2 * time.Minute)
	w.want("mail", "new critical late_money", "digest warning digest")
}

// Guards every crash: wherever the process dies between its writes, each alert is told, and what is told twice has the
// same message id.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		crashed := 0
		for _, when := range []faults.When{faults.Before, faults.After} {
			w := newWorld(t, alerts.Rules{
				Routes:      []alerts.Route{{Channels: []string{"mail"}, Failover: []string{"slack"}}},
				Escalations: []alerts.Escalation{{After: 30 * time.Minute, Channels: []string{"slack"}}}, Burst: 2,
			}, "mail", "slack")
			inner, writes := w.engine, 0
			w.channels["mail"].fail = func(alerts.Message) error {
				if w.now.Before(start.Add(5 * time.Minute)) {
					return errors.New("down at first")
				}
				return nil
			}
			for i := range 4 {
				w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
			}
			w.engine = faults.Wrap(inner, faults.Options{Write: func(_ store.WritePoint, at faults.When) error {
				if at == when {
					writes++
				}
				if at == when && writes == n {
					crashed++
					panic("crash")
				}
				return nil
			}})
			w.open()
			survive := func() (alive bool) {
				defer func() { alive = recover() == nil }()
				w.pass(2 * time.Hour)
				return true
			}
			if !survive() {
				w.engine = inner
				w.open()
				w.pass(3 * time.Hour)
			}
			if _, told := w.channels["mail"].count(); told < 4 {
				t.Errorf("crash %s write %d: mail was told of %d of 4", when, n, told)
			}
			if messages, _ := w.channels["mail"].count(); messages-w.channels["mail"].unique() > 1 {
				t.Errorf("crash %s write %d: %d messages, %d different", when, n, messages, w.channels["mail"].unique())
			}
			if _, told := w.channels["slack"].count(); told < 4 {
				t.Errorf("crash %s write %d: slack was told of %d", when, n, told)
			}
		}
		if crashed == 0 {
			if n < 15 {
				t.Errorf("only %d writes in the whole story", n)
			}
			return
		}
	}
}

// Guards lost acknowledgements and outages of the store: the next step makes it good, and nothing is told twice under
// two ids.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	for _, when := range []faults.When{faults.Before, faults.After} {
		w := newWorld(t, route("mail"), "mail")
		for i := range 3 {
			w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
		}
		n := 0
		w.engine = faults.Wrap(w.engine, faults.Options{Write: func(_ store.WritePoint, at faults.When) error {
			if n++; at == when && n%3 != 0 {
				return store.ErrUnavailable
			}
			return nil
		}})
		w.open()
		failed := 0
		for range 300 {
			if _, _, err := w.d.Step(t.Context()); err != nil {
				failed++
			}
			w.now = w.now.Add(time.Minute)
		}
		if _, told := w.channels["mail"].count(); told < 3 || w.channels["mail"].unique() > 3 {
			t.Errorf("%s: told %d times, %d different (%d steps failed)", when, told, w.channels["mail"].unique(), failed)
		}
	}
}

// Guards replicas: two processes over one store send each message once.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail")
	first := w.d
	w.owners++
	second := w.dispatcher()
	nested := false
	w.channels["mail"].fail = func(alerts.Message) error { // while the first is sending, the second steps
		if !nested {
			nested = true
			if _, _, err := second.Step(context.Background()); err != nil {
				t.Error(err)
			}
			nested = false
		}
		return nil
	}
	for i := range 4 {
		w.raise(fmt.Sprint("inc_", i), "late_money", "critical")
	}
	for range 5 {
		for _, d := range []*alerts.Dispatcher{first, second} {
			if _, _, err := d.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if messages, told := w.channels["mail"].count(); messages != 4 || told != 4 {
		t.Errorf("%d messages about %d alerts", messages, told)
	}
}

// Guards L1 and the rest of the text: whatever a provider or an operator wrote, a subject is one line of our own words,
// and no text can end a line, turn its direction or hide.
func TestForeignText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail")
	evil := "x\r\nBcc: victim@example.com\x00\u202eterces\u2066\u2028end"
	err := w.alerts.Raise(t.Context(), gateway.AlertRecord{
		ID: "inc_1", Account: "acct\r\nBcc: a@b", Kind: "odd\r\nkind<b>", Severity: "urgent", State: "open", Message: evil, Count: 1, FirstSeen: w.now, LastSeen: w.now,
		Payment: "pay/../x?y", Dispute: "dp\r\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.quiet()
	if len(w.channels["mail"].got) != 1 {
		t.Fatalf("got %v", w.channels["mail"].got)
	}
	m := w.channels["mail"].got[0]
	for _, s := range []string{m.Subject(), m.Title, m.Happened, m.Facts[0].Value} {
		if strings.ContainsAny(s, "\r\n\x00\u202e\u2066\u2028") {
			t.Errorf("%q", s)
		}
	}
	if strings.Contains(m.Subject(), "victim") || strings.Contains(m.Subject(), "<") || !strings.Contains(m.Happened, "victim") || m.Severity != "warning" {
		t.Errorf("subject %q, text %q, severity %s", m.Subject(), m.Happened, m.Severity)
	}
	for _, l := range m.Links {
		if strings.ContainsAny(l.URL, "\r\n<> ") || strings.Contains(l.URL, "/../") {
			t.Errorf("link %q", l.URL)
		}
	}
}

// Guards that a rule can't name a channel that is not there, and that New wants what it needs.
func TestNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, route("mail"), "mail")
	good := alerts.Options{Store: w.alerts, Clock: func() time.Time { return w.now }, Owner: "o", Logger: nil}
	if _, err := alerts.New(good); err == nil {
		t.Error("accepted without a logger")
	}
	for _, r := range []alerts.Rules{route("nobody"), {Routes: []alerts.Route{{Failover: []string{"nobody"}}}}, {Escalations: []alerts.Escalation{{Channels: []string{"nobody"}}}}} {
		w.rules = r
		if _, err := alerts.New(alerts.Options{Store: w.alerts, Clock: good.Clock, Owner: "o", Logger: discard(), Rules: r}); err == nil {
			t.Errorf("accepted %+v", r)
		}
	}
	for _, r := range w.d.Test(t.Context()) {
		if r.Err != nil || r.Channel != "mail" {
			t.Errorf("test message: %+v", r)
		}
	}
	w.want("mail", "new info test")
}
