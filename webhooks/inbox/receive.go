package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// connectProvider is the provider whose webhooks come through two endpoints: its
// own events and those of connected accounts (Stripe docs: Connect webhooks).
const connectProvider = "stripe"

// refusal is an answer other than 200, and what it is counted as.
type refusal struct {
	status int
	code   payment.Code
	title  string
	result string
}

func refuse(status int, code payment.Code, title, result string) *refusal {
	return &refusal{status: status, code: code, title: title, result: result}
}

func notStored(result string) *refusal {
	return refuse(http.StatusServiceUnavailable, payment.CodeStoreUnavailable, "Not stored: deliver it again", result)
}

func badBody(result string) *refusal {
	return refuse(http.StatusBadRequest, payment.CodeMalformed, "The signature is not valid, or the body could not be read", result)
}

// ServeHTTP receives POST /webhooks/{provider}/{account} and
// /webhooks/stripe/{account}/connect. It answers 200 only for what is stored, and
// writes nothing for what it refuses.
func (b *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	provider, status, no := b.receive(w, r)
	if no != nil {
		b.opts.Metrics.Received(provider, no.result)
		b.problem(w, no)
		return
	}
	b.opts.Metrics.Received(provider, status)
	answer(w, http.StatusOK, "application/json", []byte(`{"status":"`+status+"\"}\n"))
}

// receive takes one request as far as it gets. provider is "" until it is known
// to be one of ours, so that paths can't make metric labels.
func (b *Inbox) receive(w http.ResponseWriter, r *http.Request) (provider, status string, no *refusal) {
	if b.opts.Off {
		return "", "", notStored("off")
	}
	account, connect, ok := b.route(r.URL.Path)
	if !ok {
		return "", "", refuse(http.StatusNotFound, payment.CodeNotFound, "There is no such webhook account", "not_found")
	}
	provider = account.Info().Provider
	verifier, ok := account.Verifier()
	if !ok {
		return provider, "", refuse(http.StatusNotFound, payment.CodeNotFound, "There is no such webhook account", "not_found")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return provider, "", refuse(http.StatusMethodNotAllowed, "method_not_allowed", "This path takes POST", "method_not_allowed")
	}
	body, release, no := b.read(w, r)
	defer release()
	if no != nil {
		return provider, "", no
	}
	event, no := b.verify(r, verifier, account, body, connect)
	if no != nil {
		return provider, "", no
	}
	status, no = b.keep(r.Context(), account.Info(), connect, event, body)
	return provider, status, no
}

// route finds the account that a path names.
func (b *Inbox) route(path string) (account *providers.Account, connect, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "webhooks" {
		return nil, false, false
	}
	if len(parts) == 4 {
		connect = true
		if parts[3] != "connect" || parts[1] != connectProvider {
			return nil, false, false
		}
	}
	account, ok = b.opts.Accounts.Account(parts[2])
	if !ok || account.Info().Provider != parts[1] {
		return nil, false, false
	}
	return account, connect, true
}

// read reads the raw body within the limits of one body and of all bodies under
// way. release gives the memory back and is never nil.
func (b *Inbox) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), no *refusal) {
	release = func() {}
	for _, encoding := range r.Header.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			return nil, release, refuse(http.StatusUnsupportedMediaType, payment.CodeUnsupportedMedia, "Send the body without a Content-Encoding", "unsupported_media_type")
		}
	}
	tooLarge := refuse(http.StatusRequestEntityTooLarge, payment.CodeTooLarge, "The body is too large", "too_large")
	size := r.ContentLength
	if size > b.opts.MaxBody {
		w.Header().Set("Connection", "close") // nobody reads the rest
		return nil, release, tooLarge
	}
	if size < 0 {
		size = b.opts.MaxBody // unknown until it was read
	}
	pool := b.pool(size)
	if !pool.TryAcquire(size) {
		return nil, release, notStored("busy")
	}
	release = func() { pool.Release(size) }
	body, err := readAll(http.MaxBytesReader(w, r.Body, b.opts.MaxBody), r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, release, tooLarge
	case err != nil: // cut off on the way: the provider will come again
		return nil, release, badBody("malformed")
	}
	return body, release, nil
}

// readAll reads a body to its end. The usual small one with its length declared takes
// that much memory at once; one that declares much and sends little gets none before.
func readAll(r io.Reader, declared int64) ([]byte, error) {
	if declared < 0 || declared > smallBody {
		return io.ReadAll(r)
	}
	body := make([]byte, declared)
	n, err := io.ReadFull(r, body)
	return body[:n], err
}

func (b *Inbox) pool(size int64) *semaphore.Weighted {
	if size <= smallBody {
		return b.small
	}
	return b.large
}

// verify checks the signature and reads the event. What is refused is counted
// and logged at debug level only: anybody can send it, as often as they like.
func (b *Inbox) verify(r *http.Request, v providers.Verifier, account *providers.Account, body []byte, connect bool) (providers.Event, *refusal) {
	ctx := r.Context()
	event, err := v.Verify(ctx, r.Header, body, connect, b.opts.Wall())
	switch {
	case errors.Is(err, providers.ErrSignature):
		b.opts.Metrics.Forged(account.Info().Account)
		return event, badBody("forged")
	case errors.Is(err, providers.ErrMalformed):
		return event, badBody("malformed")
	case err != nil:
		b.log.DebugContext(ctx, "webhook could not be verified", "account", account.Info().Account, "error", err)
		return event, refuse(http.StatusServiceUnavailable, payment.CodeProviderUnavailable, "Not verified, not stored: deliver it again", "unverifiable")
	case event.Key == "":
		return event, badBody("malformed")
	}
	return event, nil
}

// keep stores a verified event, or wakes the one that is stored already.
func (b *Inbox) keep(ctx context.Context, info providers.Info, connect bool, event providers.Event, body []byte) (string, *refusal) {
	odd, err := ambiguous(body)
	if err != nil {
		return "", badBody("malformed")
	}
	now := b.now()
	sum := sha256.Sum256(body)
	rec := Record{
		ID: RecordID(info.Provider, info.Account, connect, event.Key), Provider: info.Provider, Account: info.Account, Connect: connect,
		Digest: hex.EncodeToString(sum[:]), Size: int64(len(body)), ReceivedAt: now, State: Pending, DueAt: now,
	}
	fits := false
	rec.Event, fits = bounded(event)
	if rec, err = b.screen(ctx, info, rec, odd || !fits, now); err != nil {
		return "", b.storeFailed(ctx, info, err)
	}
	status, err := b.insert(ctx, rec, body, now)
	if err != nil {
		return "", b.storeFailed(ctx, info, err)
	}
	return status, nil
}

// insert stores an event, or wakes the one that has its key already.
func (b *Inbox) insert(ctx context.Context, rec Record, body []byte, now time.Time) (string, error) {
	stored, created, err := b.opts.Store.Insert(ctx, rec, body)
	switch {
	case err != nil:
		return "", err
	case created:
		return "stored", nil
	case stored.Digest != rec.Digest && stored.Event.Object != rec.Event.Object && rec.Base == "":
		return b.insertVariant(ctx, rec, body, now)
	}
	if _, wake := stored.woken(now); !wake {
		return "already_stored", nil
	}
	_, _, err = b.opts.Store.Change(ctx, rec.ID, WriteWake, func(r Record) (Record, bool) { return r.woken(now) })
	return "already_stored", err
}

// insertVariant keeps a delivery under a known key that names another object than
// the first one did. One of the two may be forged under a captured signature; both
// are hints, and the forged one must not keep the true one out. How many there may
// be is bounded.
func (b *Inbox) insertVariant(ctx context.Context, rec Record, body []byte, now time.Time) (string, error) {
	mark := rec.Digest[:16]
	base, _, err := b.opts.Store.Change(ctx, rec.ID, WriteVariant, func(r Record) (Record, bool) {
		if len(r.Variants) >= maxVariants || slices.Contains(r.Variants, mark) {
			return r, false
		}
		r.Variants = append(slices.Clone(r.Variants), mark)
		return r, true
	})
	if err != nil {
		return "", err
	}
	if !slices.Contains(base.Variants, mark) {
		return "already_stored", nil
	}
	rec.Base, rec.ID = rec.ID, rec.ID+"-"+mark
	return b.insert(ctx, rec, body, now)
}

// screen decides which events nobody acts on. They are stored all the same.
func (b *Inbox) screen(ctx context.Context, info providers.Info, r Record, odd bool, now time.Time) (Record, error) {
	ours := true
	if r.Event.Account != "" {
		var err error
		if ours, err = b.opts.Connected(ctx, info.Account, r.Event.Account); err != nil {
			return r, err
		}
	}
	version := b.opts.APIVersions[info.Provider]
	switch {
	case odd:
		return r.final(Parked, ReasonAmbiguous, false, now), nil
	case r.Event.Live != (info.Mode == payment.ModeLive):
		return r.final(Parked, ReasonMode, false, now), nil
	case !ours:
		return r.final(Parked, ReasonConnected, false, now), nil
	case !r.Event.Relevant:
		return r.final(Irrelevant, "", true, now), nil
	case version != "" && r.Event.Version != version:
		return r.final(Parked, ReasonVersion, false, now), nil
	}
	return r, nil
}

// storeFailed answers that the provider must come again. Only who holds a valid
// signature gets here, so it may be logged.
func (b *Inbox) storeFailed(ctx context.Context, info providers.Info, err error) *refusal {
	b.log.ErrorContext(ctx, "webhook could not be stored, the provider will deliver it again", "account", info.Account, "error", err)
	return notStored("store_unavailable")
}

// problem answers with an RFC 9457 document.
func (b *Inbox) problem(w http.ResponseWriter, no *refusal) {
	if no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	text, err := json.Marshal(map[string]any{
		"type": "urn:trifecta:problem:" + string(no.code), "title": no.title, "status": no.status, "code": no.code,
	})
	if err != nil { // words and a number always encode
		text = []byte("{}")
	}
	answer(w, no.status, "application/problem+json", append(text, '\n'))
}

func answer(w http.ResponseWriter, status int, contentType string, text []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text) //nolint:gosec // JSON of our own words, and the other side is gone: nobody to tell
}
