package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// Encryption tells under which keys records stand, and orders that all be brought
// under the active one; for operators. Errors are gateway's.
type Encryption interface {
	EncryptionState(ctx context.Context) (EncryptionState, error)
	RotateEncryption(ctx context.Context) (EncryptionState, error)
}

// EncryptionState is how far bringing everything under the active key is.
type EncryptionState struct {
	Active  string // "" without keys
	State   string // off | rewriting | counting | done
	Written int64
	Failed  int64
	Problem string
	Records []KeyCount
	Left    int64
	At      time.Time
}

// KeyCount is how many records of a collection hold a value under a key; Key "" is
// plain.
type KeyCount struct {
	Collection, Key string
	Records         int64
}

// Erasures are orders to erase a customer, for operators. OrderErasure only records
// the order; a worker does it. replayed says that it had been ordered before; the same
// ID with another Fingerprint is idempotency_key_reused. Errors are gateway's, or a *payment.Error for the caller.
type Erasures interface {
	OrderErasure(ctx context.Context, c gateway.Caller, r ErasureRequest) (e Erasure, replayed bool, err error)
	GetErasure(ctx context.Context, id string) (Erasure, error)
	ListErasures(ctx context.Context, limit int, after string) (erasures []Erasure, next string, err error)
}

// ErasureRequest names the customer: Ref, Email, or both. Texts: descriptions and
// metadata too. Fingerprint tells the words of one ID from others; it is made with the
// request's key, which nobody keeps, so that no address can be guessed from it.
type ErasureRequest struct {
	ID, App, Ref, Email, Reason string
	Texts                       bool
	Fingerprint                 string
}

// Erasure is an order to erase a customer, and what came of it.
type Erasure struct {
	ID, App, Ref, Reason   string
	Texts                  bool
	By                     payment.Actor
	State                  string // running | pending | done | incomplete
	Found, Pending, Left   int64
	Waiting                []string
	LeftIn                 []string // collection/id of records that are Left, the first of them
	Collections            []ErasureCount
	OrderedAt, CompletedAt time.Time
}

// ErasureCount is what was done and found in one collection.
type ErasureCount struct {
	Collection                                   string
	Scanned, Erased, Left, Elsewhere, Unreadable int64
}

type keyWire struct {
	ID        string     `json:"id"`
	Object    string     `json:"object"`
	Prefix    string     `json:"prefix"`
	App       *string    `json:"app"`
	Mode      *string    `json:"mode"`
	Operator  bool       `json:"operator"`
	Scopes    []string   `json:"scopes"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	RevokedBy *actorWire `json:"revoked_by"`
	CreatedBy *actorWire `json:"created_by"`
}

// madeKeyWire is a key that was just made: the only time that Key is not null.
type madeKeyWire struct {
	keyWire
	Key *string `json:"key"`
}

func keyOf(k gateway.Key) keyWire {
	w := keyWire{
		ID: k.ID(), Object: "api_key", Prefix: k.Prefix, App: opt(k.App), Mode: opt(string(k.Mode)), Operator: k.Operator,
		Scopes: append([]string{}, k.Scopes...), CreatedAt: k.CreatedAt.UTC(), RevokedAt: optTime(k.RevokedAt),
	}
	if k.RevokedBy.Type != "" {
		w.RevokedBy = &actorWire{Type: k.RevokedBy.Type, ID: opt(k.RevokedBy.ID)}
	}
	if k.CreatedBy.Type != "" {
		w.CreatedBy = &actorWire{Type: k.CreatedBy.Type, ID: opt(k.CreatedBy.ID)}
	}
	return w
}

type keyBody struct {
	App      string   `json:"app,omitempty"`
	Operator bool     `json:"operator,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
}

// bindKey reads an order for a key. Without scopes it is one that may do everything, so
// an empty list is refused: whoever writes it means the opposite.
func bindKey(raw []byte) (keyBody, error) {
	var b keyBody
	err := bindObject(raw, func(o *object) {
		o.str("app", &b.App)
		o.boolean("operator", &b.Operator)
		listed := o.has("scopes")
		o.texts("scopes", &b.Scopes)
		switch {
		case !o.valid:
		case (b.App == "") == !b.Operator:
			o.f.add("/app", "is required, or operator: true, not both")
		case b.Operator && listed:
			o.f.add("/scopes", "belong to keys of apps: an operator key may do everything")
		case listed && len(b.Scopes) == 0:
			o.f.add("/scopes", "must name at least one scope; left out, the key has all")
		}
	})
	return b, err
}

func (a *api) makeKey(c *gin.Context) error {
	b, err := bindKey(body(c))
	if err != nil {
		return err
	}
	r, err := a.request(c, "/v1/api_keys", b)
	if err != nil {
		return err
	}
	token, k, replayed, err := a.svc.IssueKey(c.Request.Context(), r, b.App, b.Operator, b.Scopes)
	if err != nil {
		return err
	}
	markReplay(c, replayed)
	return a.json(c, http.StatusCreated, madeKeyWire{keyWire: keyOf(k), Key: opt(token)})
}

func (a *api) listKeys(c *gin.Context) error {
	found, err := a.svc.ListKeys(c.Request.Context())
	return answerList(a, c, found, "", err, keyOf)
}

func (a *api) revokeKey(c *gin.Context) error {
	k, err := a.svc.RevokeKey(c.Request.Context(), c.Param("id"), callerOf(c).Actor())
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, keyOf(k))
}

type encryptionWire struct {
	Object  string         `json:"object"`
	Active  *string        `json:"active"`
	State   string         `json:"state"`
	Written int64          `json:"written"`
	Failed  int64          `json:"failed"`
	Problem *string        `json:"problem"`
	Records []keyCountWire `json:"records"`
	Left    int64          `json:"left"`
	At      *time.Time     `json:"at"`
}

type keyCountWire struct {
	Collection string  `json:"collection"`
	Key        *string `json:"key"`
	Records    int64   `json:"records"`
}

func (a *api) showEncryption(c *gin.Context, code int, s EncryptionState) error {
	w := encryptionWire{
		Object: "encryption", Active: opt(s.Active), State: s.State, Written: s.Written, Failed: s.Failed, Problem: opt(s.Problem),
		Records: []keyCountWire{}, Left: s.Left, At: optTime(s.At),
	}
	for _, r := range s.Records {
		w.Records = append(w.Records, keyCountWire{Collection: r.Collection, Key: opt(r.Key), Records: r.Records})
	}
	return a.json(c, code, w)
}

func (a *api) getEncryption(c *gin.Context) error {
	if a.opts.Encryption == nil {
		return notServed()
	}
	s, err := a.opts.Encryption.EncryptionState(c.Request.Context())
	if err != nil {
		return portError(err)
	}
	return a.showEncryption(c, http.StatusOK, s)
}

func (a *api) rotateEncryption(c *gin.Context) error {
	if a.opts.Encryption == nil {
		return notServed()
	}
	if err := bindNothing(body(c)); err != nil {
		return err
	}
	s, err := a.opts.Encryption.RotateEncryption(c.Request.Context())
	if err != nil {
		return portError(err)
	}
	return a.showEncryption(c, http.StatusAccepted, s)
}

type erasureWire struct {
	ID          string             `json:"id"`
	Object      string             `json:"object"`
	App         string             `json:"app"`
	Ref         *string            `json:"ref"`
	Metadata    bool               `json:"metadata"`
	Reason      string             `json:"reason"`
	OrderedBy   actorWire          `json:"ordered_by"`
	State       string             `json:"state"`
	Found       int64              `json:"found"`
	Pending     int64              `json:"pending"`
	Waiting     []string           `json:"waiting"`
	Left        int64              `json:"left"`
	LeftIn      []string           `json:"left_in"`
	Collections []erasureCountWire `json:"collections"`
	OrderedAt   time.Time          `json:"ordered_at"`
	CompletedAt *time.Time         `json:"completed_at"`
}

type erasureCountWire struct {
	Collection string `json:"collection"`
	Scanned    int64  `json:"scanned"`
	Erased     int64  `json:"erased"`
	Left       int64  `json:"left"`
	Elsewhere  int64  `json:"elsewhere"`
	Unreadable int64  `json:"unreadable"`
}

func erasureOf(e Erasure) erasureWire {
	w := erasureWire{
		ID: e.ID, Object: "erasure", App: e.App, Ref: opt(e.Ref), Metadata: e.Texts, Reason: e.Reason,
		OrderedBy: actorWire{Type: e.By.Type, ID: opt(e.By.ID)}, State: e.State, Found: e.Found, Pending: e.Pending,
		Waiting: append([]string{}, e.Waiting...), Left: e.Left, LeftIn: append([]string{}, e.LeftIn...), Collections: []erasureCountWire{},
		OrderedAt: e.OrderedAt.UTC(), CompletedAt: optTime(e.CompletedAt),
	}
	for _, c := range e.Collections {
		w.Collections = append(w.Collections, erasureCountWire(c))
	}
	return w
}

func (a *api) orderErasure(c *gin.Context) error {
	if a.opts.Erasures == nil {
		return notServed()
	}
	r, err := bindErasure(body(c))
	if err != nil {
		return err
	}
	said, err := gateway.Fingerprint(r)
	if err != nil {
		return err
	}
	key := c.GetHeader("Idempotency-Key")
	r.ID, r.Fingerprint = payment.DeriveID("ers", "v1", "POST", "/v1/erasures", key), payment.DeriveID("efp", key, said)
	e, replayed, err := a.opts.Erasures.OrderErasure(c.Request.Context(), callerOf(c), r)
	if err != nil {
		return portError(err)
	}
	markReplay(c, replayed)
	return a.json(c, http.StatusAccepted, erasureOf(e))
}

// bindErasure reads an order. The reason is kept for ever, so it should say nothing
// about the person.
func bindErasure(raw []byte) (ErasureRequest, error) {
	var r ErasureRequest
	err := bindObject(raw, func(o *object) {
		o.str("app", &r.App)
		o.str("ref", &r.Ref)
		o.str("email", &r.Email)
		o.str("reason", &r.Reason)
		o.boolean("metadata", &r.Texts)
		if o.valid {
			if r.App == "" {
				o.f.add("/app", "is required")
			}
			if r.Ref == "" && r.Email == "" {
				o.f.add("/ref", "is required, or email")
			}
			if r.Reason == "" {
				o.f.add("/reason", "is required")
			}
			for _, t := range []struct {
				at, text string
				most     int
			}{{"/ref", r.Ref, 200}, {"/email", r.Email, 254}, {"/reason", r.Reason, 500}} {
				if len([]rune(t.text)) > t.most {
					o.f.add(t.at, "must have at most %d characters", t.most)
				}
			}
		}
	})
	return r, err
}

func (a *api) getErasure(c *gin.Context) error {
	if a.opts.Erasures == nil {
		return notServed()
	}
	id := c.Param("id")
	if !objectID(id) {
		return notFoundError()
	}
	e, err := a.opts.Erasures.GetErasure(c.Request.Context(), id)
	if err != nil {
		return portError(err)
	}
	return a.json(c, http.StatusOK, erasureOf(e))
}

func (a *api) listErasures(c *gin.Context) error {
	if a.opts.Erasures == nil {
		return notServed()
	}
	limit, after, err := pageOnly(c, defaultPage)
	if err != nil {
		return err
	}
	found, next, err := a.opts.Erasures.ListErasures(c.Request.Context(), limit, after)
	return answerList(a, c, found, next, err, erasureOf)
}
