package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// AlertFilter narrows a list of alerts. Zero values do not filter; Limit is 1
// to 100.
type AlertFilter struct {
	State   string
	Payment string
	Limit   int
	After   string
}

// AlertChange is what a human does about an alert. State is acked, snoozed or
// resolved; Until is when a snoozed one is due again. The same Request changes it
// once.
type AlertChange struct {
	State   string
	Until   time.Time
	Request gateway.Request
}

// Alerts is where alerts are read and changed. An app sees only those of its
// own payments (App and Mode of the caller), an operator all of them. replayed
// says that the request had changed it before. Errors are gateway's: ErrNotFound
// also for somebody else's, ErrBadCursor; or a *payment.Error for the caller.
type Alerts interface {
	ListAlerts(ctx context.Context, c gateway.Caller, f AlertFilter) (alerts []gateway.AlertRecord, next string, err error)
	ChangeAlert(ctx context.Context, c gateway.Caller, id string, change AlertChange) (a gateway.AlertRecord, replayed bool, err error)
}

// FeedEvent is one event of an app's feed.
type FeedEvent struct {
	ID       string
	Type     string
	At       time.Time
	Sequence int64
	Object   json.RawMessage // as rendered when it happened
}

// Events is the catch-up feed of one app, oldest first. next is always a cursor
// to resume from, also at the end. Errors are gateway's: ErrBadCursor.
type Events interface {
	ListEvents(ctx context.Context, c gateway.Caller, after string, limit int) (events []FeedEvent, next string, err error)
}

// RunRequest asks for a reconcile run. From and To zero: the job's own window.
// The same request (Idempotency-Key) has the same ID: a run that exists already
// is answered as it is now.
type RunRequest struct {
	ID      string
	Job     string // due | sweep | janitor | audit | all
	Account string // empty: every account
	From    time.Time
	To      time.Time
}

// Run is one reconcile run as recorded.
type Run struct {
	ID            string
	Job           string
	Account       string
	State         string // running | done | failed
	From, To      time.Time
	Calls         int64
	Seen          int64
	Changed       int64
	Discrepancies int64
	Errors        int64
	StartedAt     time.Time
	EndedAt       time.Time // zero while running
}

// Runs are reconcile's runs, for operators. StartRun only records the order;
// a worker runs it. replayed says that it had been ordered before. Errors are
// gateway's, or a *payment.Error for the caller.
type Runs interface {
	ListRuns(ctx context.Context, limit int, after string) (runs []Run, next string, err error)
	StartRun(ctx context.Context, c gateway.Caller, r RunRequest) (run Run, replayed bool, err error)
}

type eventWire struct {
	ID        string        `json:"id"`
	Object    string        `json:"object"`
	Type      string        `json:"type"`
	CreatedAt time.Time     `json:"created_at"`
	Sequence  int64         `json:"sequence"`
	Data      eventDataWire `json:"data"`
}

type eventDataWire struct {
	Object json.RawMessage `json:"object"`
}

type runWire struct {
	ID            string     `json:"id"`
	Job           string     `json:"job"`
	Account       *string    `json:"account"`
	State         string     `json:"state"`
	From          *time.Time `json:"from"`
	To            *time.Time `json:"to"`
	Calls         int64      `json:"calls"`
	Seen          int64      `json:"seen"`
	Changed       int64      `json:"changed"`
	Discrepancies int64      `json:"discrepancies"`
	Errors        int64      `json:"errors"`
	StartedAt     time.Time  `json:"started_at"`
	EndedAt       *time.Time `json:"ended_at"`
}

func runOf(r Run) runWire {
	return runWire{
		ID: r.ID, Job: r.Job, Account: opt(r.Account), State: r.State, From: optTime(r.From), To: optTime(r.To), Calls: r.Calls, Seen: r.Seen,
		Changed: r.Changed, Discrepancies: r.Discrepancies, Errors: r.Errors, StartedAt: r.StartedAt.UTC(), EndedAt: optTime(r.EndedAt),
	}
}

func (a *api) listAlerts(c *gin.Context) error {
	if a.opts.Alerts == nil {
		return notServed()
	}
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	f := AlertFilter{State: q.text("state", 20), Payment: q.text("payment", 64)}
	switch f.State {
	case "", "open", "acked", "snoozed", "resolved":
	default:
		q.f.add("?state", "must be open, acked, snoozed or resolved")
	}
	if f.Payment != "" && !objectID(f.Payment) {
		q.f.add("?payment", "must be a payment's id")
	}
	f.Limit, f.After = q.page(defaultPage)
	if err := q.err(); err != nil {
		return err
	}
	found, next, err := a.opts.Alerts.ListAlerts(c.Request.Context(), callerOf(c), f)
	return answerList(a, c, found, next, err, alertOf)
}

func (a *api) ackAlert(c *gin.Context) error {
	if err := bindNothing(body(c)); err != nil {
		return err
	}
	return a.changeAlert(c, "ack", struct{}{}, AlertChange{State: "acked"})
}

func (a *api) snoozeAlert(c *gin.Context) error {
	b, err := bindSnooze(body(c))
	if err != nil {
		return err
	}
	return a.changeAlert(c, "snooze", b, AlertChange{State: "snoozed", Until: a.opts.Clock().UTC().Add(time.Duration(b.Seconds) * time.Second)})
}

func (a *api) resolveAlert(c *gin.Context) error {
	if err := bindNothing(body(c)); err != nil {
		return err
	}
	return a.changeAlert(c, "resolve", struct{}{}, AlertChange{State: "resolved"})
}

func (a *api) changeAlert(c *gin.Context, verb string, b any, change AlertChange) error {
	if a.opts.Alerts == nil {
		return notServed()
	}
	id := c.Param("id")
	if !objectID(id) {
		return notFoundError()
	}
	var err error
	if change.Request, err = a.request(c, "/v1/alerts/"+id+"/"+verb, b); err != nil {
		return err
	}
	changed, replayed, err := a.opts.Alerts.ChangeAlert(c.Request.Context(), callerOf(c), id, change)
	if err != nil {
		return portError(err)
	}
	markReplay(c, replayed)
	return a.json(c, http.StatusOK, alertOf(changed))
}

func (a *api) listEvents(c *gin.Context) error {
	if a.opts.Events == nil {
		return notServed()
	}
	q, err := parseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	if at := q.values["after"]; len(at) == 1 && at[0] == "" { // whoever has no cursor yet: a feed has a beginning
		delete(q.values, "after")
	}
	limit, after := q.page(defaultNested)
	if err := q.err(); err != nil {
		return err
	}
	if callerOf(c).Operator {
		return payment.NewError(payment.CodeForbidden, "A feed belongs to an app; read it with the app's key.")
	}
	found, next, err := a.opts.Events.ListEvents(c.Request.Context(), callerOf(c), after, limit)
	return answerList(a, c, found, next, err, eventOf)
}

func eventOf(e FeedEvent) eventWire {
	return eventWire{ID: e.ID, Object: "event", Type: e.Type, CreatedAt: e.At.UTC(), Sequence: e.Sequence, Data: eventDataWire{Object: e.Object}}
}

func (a *api) listRuns(c *gin.Context) error {
	if a.opts.Runs == nil {
		return notServed()
	}
	limit, after, err := pageOnly(c, defaultPage)
	if err != nil {
		return err
	}
	found, next, err := a.opts.Runs.ListRuns(c.Request.Context(), limit, after)
	return answerList(a, c, found, next, err, runOf)
}

func (a *api) startRun(c *gin.Context) error {
	if a.opts.Runs == nil {
		return notServed()
	}
	r, err := bindRun(body(c))
	if err != nil {
		return err
	}
	r.ID = payment.DeriveID("run", "v1", "POST", "/v1/reconcile/runs", c.GetHeader("Idempotency-Key"))
	run, replayed, err := a.opts.Runs.StartRun(c.Request.Context(), callerOf(c), r)
	if err != nil {
		return portError(err)
	}
	markReplay(c, replayed)
	return a.json(c, http.StatusAccepted, runOf(run))
}

func bindRun(raw []byte) (RunRequest, error) {
	var r RunRequest
	err := bindObject(raw, func(o *object) {
		o.required("job", "is required")
		o.enum("job", &r.Job, "due", "sweep", "janitor", "audit", "all")
		o.str("account", &r.Account)
		o.moment("from", &r.From)
		o.moment("to", &r.To)
		if !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To) {
			o.f.add("/to", "must be after from")
		}
	})
	return r, err
}

// moment reads an RFC 3339 time.
func (o *object) moment(key string, dst *time.Time) {
	n, at, ok := o.take(key)
	if !ok {
		return
	}
	if n.kind != kindString {
		o.f.wrong(at, n, "a string")
		return
	}
	t, err := time.Parse(time.RFC3339, n.text)
	if err != nil {
		o.f.add(at, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
		return
	}
	*dst = t.UTC()
}
