package alerts

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Severities, the mildest first.
const (
	Info     = "info"
	Warning  = "warning"
	Critical = "critical"
)

// rank orders severities. An unknown one counts as a warning: it must not hide.
func rank(severity string) int {
	switch severity {
	case Info:
		return 0
	case Critical:
		return 2
	default:
		return 1
	}
}

// Reasons of a notice.
const (
	ReasonNew       = "new"
	ReasonAgain     = "again"     // open again, or a snooze is over
	ReasonWorse     = "worse"     // it was told with a lower severity
	ReasonEscalated = "escalated" // nobody has seen to it
	ReasonFailover  = "failover"  // meant for another channel, which is down
)

// Rules say who is told what, and when. They only decide: the same alert, the
// same rules and the same moment give the same answer.
type Rules struct {
	// Routes: an alert goes to the channels of every route it matches.
	Routes []Route
	// Escalations tell further channels of what nobody has seen to.
	Escalations []Escalation
	// Quiet hours hold back everything but what is critical.
	Quiet Quiet
	// Burst is how many messages of its own one kind of alert may have in one
	// channel within Window; the rest waits for the digest. Defaults: 5 an hour.
	Burst  int
	Window time.Duration
	// DigestEvery is how long what was held back is collected. Default: 30 min.
	DigestEvery time.Duration
	// RepeatAfter keeps one incident that comes and goes from having a message of
	// its own each time. Default: 1 h.
	RepeatAfter time.Duration
}

// Route sends alerts to channels.
type Route struct {
	Kinds       []string // patterns as in path.Match; none: every kind
	MinSeverity string   // none: every severity
	Channels    []string
	Failover    []string // told instead while one of Channels does not work
}

// Escalation tells channels of an alert that has been open for so long without
// anybody acknowledging, snoozing or resolving it.
type Escalation struct {
	After       time.Duration
	MinSeverity string
	Channels    []string
}

// Quiet is a time of day, in minutes since midnight in Zone, from From
// (inclusive) to To (exclusive), over midnight where To is earlier. From equal
// to To: never.
type Quiet struct {
	From, To int
	Zone     *time.Location
}

func (r Rules) withDefaults() Rules {
	if r.Burst <= 0 {
		r.Burst = 5
	}
	if r.Window <= 0 {
		r.Window = time.Hour
	}
	if r.DigestEvery <= 0 {
		r.DigestEvery = 30 * time.Minute
	}
	if r.RepeatAfter <= 0 {
		r.RepeatAfter = time.Hour
	}
	return r
}

// until says when the quiet that holds at now ends; ok is false when it is not
// quiet. Where a clock change skips the end, the quiet ends that much later.
func (q Quiet) until(now time.Time) (end time.Time, ok bool) {
	if q.From == q.To || q.Zone == nil {
		return time.Time{}, false
	}
	local := now.In(q.Zone)
	minute := local.Hour()*60 + local.Minute()
	days := 0
	switch {
	case q.From < q.To && (minute < q.From || minute >= q.To):
		return time.Time{}, false
	case q.From > q.To && minute < q.From && minute >= q.To:
		return time.Time{}, false
	case q.From > q.To && minute >= q.From:
		days = 1
	}
	end = time.Date(local.Year(), local.Month(), local.Day()+days, q.To/60, q.To%60, 0, 0, q.Zone)
	if !end.After(now) { // the hour that a clock change repeats
		return time.Time{}, false
	}
	return end, true
}

// Notice is one thing to tell one channel.
type Notice struct {
	ID       string
	Alert    string
	Kind     string
	Severity string
	Reason   string
	Channel  string
	Failover []string
	At       time.Time
	// Hold keeps it for the digest: the same incident was told a short while ago.
	Hold bool
}

func (r Route) matches(a gateway.AlertRecord) bool {
	if rank(a.Severity) < rankOr0(r.MinSeverity) {
		return false
	}
	return len(r.Kinds) == 0 || slices.ContainsFunc(r.Kinds, func(pattern string) bool {
		ok, err := path.Match(pattern, a.Kind)
		return ok && err == nil // config refuses bad patterns; one that got here matches nothing
	})
}

func rankOr0(severity string) int {
	if severity == "" {
		return 0
	}
	return rank(severity)
}

// Plan says what is to be told about an open alert at now, and when to look at
// it again (zero: only when it changes). What Told holds is not told again.
func (r Rules) Plan(a gateway.AlertRecord, now time.Time) (due []Notice, next time.Time) {
	r = r.withDefaults()
	if a.State != "open" {
		return nil, time.Time{}
	}
	for _, target := range r.targets(a) {
		reason, ok := reasonFor(a, target.Channel)
		if !ok {
			continue
		}
		target.Reason = reason
		target.Hold = reason == ReasonAgain && toldSince(a, target.Channel, now.Add(-r.RepeatAfter))
		due = append(due, target.of(a, now, "0"))
	}
	for i, e := range r.Escalations {
		if rank(a.Severity) < rankOr0(e.MinSeverity) {
			continue
		}
		at := a.OpenedAt().Add(e.After)
		if at.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		for _, channel := range e.Channels {
			n := Notice{Channel: channel, Reason: ReasonEscalated}.of(a, now, fmt.Sprint(i+1))
			if !slices.ContainsFunc(a.Told, func(t gateway.AlertNotice) bool { return t.ID == n.ID }) {
				due = append(due, n)
			}
		}
	}
	return due, next
}

// of completes a notice. step tells the steps of an escalation apart.
func (n Notice) of(a gateway.AlertRecord, now time.Time, step string) Notice {
	n.ID = payment.DeriveID("ntc", a.ID, fmt.Sprint(a.Reopened), n.Reason, n.Channel, step)
	n.Alert, n.Kind, n.Severity, n.At = a.ID, a.Kind, a.Severity, now
	return n
}

// targets are the channels of all matching routes, each once, with what stands
// in for them.
func (r Rules) targets(a gateway.AlertRecord) []Notice {
	var out []Notice
	for _, route := range r.Routes {
		if !route.matches(a) {
			continue
		}
		for _, channel := range route.Channels {
			i := slices.IndexFunc(out, func(n Notice) bool { return n.Channel == channel })
			if i < 0 {
				out, i = append(out, Notice{Channel: channel}), len(out)
			}
			for _, f := range route.Failover {
				if f != channel && !slices.Contains(out[i].Failover, f) {
					out[i].Failover = append(out[i].Failover, f)
				}
			}
		}
	}
	return out
}

// reasonFor says why a channel is to be told of an alert now; ok is false when it
// has been.
func reasonFor(a gateway.AlertRecord, channel string) (reason string, ok bool) {
	told, most := false, -1
	for _, t := range a.Told {
		if t.Channel == channel && t.Episode == a.Reopened && t.Reason != ReasonEscalated {
			told, most = true, max(most, rank(t.Severity))
		}
	}
	switch {
	case told && most < rank(Critical) && rank(a.Severity) == rank(Critical):
		return ReasonWorse, true
	case told:
		return "", false
	case a.Reopened > 0:
		return ReasonAgain, true
	}
	return ReasonNew, true
}

func toldSince(a gateway.AlertRecord, channel string, since time.Time) bool {
	return slices.ContainsFunc(a.Told, func(t gateway.AlertNotice) bool { return t.Channel == channel && t.At.After(since) })
}
