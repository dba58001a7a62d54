package mongo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trifecta-pay/trifecta/store"
)

// The server's error codes (MongoDB source, error_codes.yml) that decide something here.
const (
	codeBadValue              = 2
	codeFailedToParse         = 9
	codeTypeMismatch          = 14
	codeNamespaceNotFound     = 26
	codeNamespaceExists       = 48
	codeCommandNotFound       = 59
	codeInvalidOptions        = 72
	codeIndexOptionsConflict  = 85
	codeIndexKeySpecsConflict = 86
	codeDocumentValidation    = 121
	codeIndexAlreadyBuilding  = 117
	codeNotImplemented        = 238
	codeIndexBuildAborted     = 276
	codeIndexBuildInProgress  = 285
	codeDuplicateKey          = 11000
	codeBSONTooLarge          = 10334
	codeUnknownField          = 40415
)

// deadlineSlack is how much earlier than the caller's context the driver may give up on its account: it does not begin
// what a round trip would not fit in.
const deadlineSlack = 20 * time.Millisecond

// mayRetryRead lists, with the driver's "retryable reads", what a second try may cure.
func mayRetryRead(err error) bool {
	if mongo.IsNetworkError(err) {
		return true
	}
	// A connection that others lost is taken from everybody who waits for one. The driver repeats its own commands then,
	// but not those of RunCommandCursor.
	var waited interface{ Retryable() bool }
	if errors.As(err, &waited) && waited.Retryable() {
		return true
	}
	var se mongo.ServerError
	if !errors.As(err, &se) {
		return false
	}
	for _, code := range []int{
		6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, // MongoDB's "retryable reads" specification
		43, 175, 237, // a cursor that died with its primary: we start the whole read again
	} {
		if se.HasErrorCode(code) {
			return true
		}
	}
	return false
}

// classify is the only place where an error of the driver becomes one of ours (ErrExists apart, see Insert). Whatever
// the outside world can cause, known or not, is ErrUnavailable, and after a write that means unknown: a network
// error, a missing primary, a write concern that was not met, a deadline. The rest is our bug. The driver's error is
// not wrapped and a server's text not repeated, because both may quote stored values; codes and names tell enough.
func (e *Engine) classify(ctx context.Context, what string, err error) error {
	cause := ctx.Err()
	if end, ok := ctx.Deadline(); ok && cause == nil && mongo.IsTimeout(err) && time.Until(end) < deadlineSlack { //nolint:forbidigo // compares with the network's clock
		cause = context.DeadlineExceeded // the socket noticed before the context did
	}
	if cause != nil {
		return fmt.Errorf("%w: %s: %w", store.ErrUnavailable, what, cause)
	}
	var we mongo.WriteException
	var bulk mongo.BulkWriteException
	if errors.As(err, &bulk) {
		we.WriteConcernError = bulk.WriteConcernError
		for _, one := range bulk.WriteErrors {
			we.WriteErrors = append(we.WriteErrors, one.WriteError)
		}
	}
	if errors.As(err, &bulk) || errors.As(err, &we) {
		if we.WriteConcernError != nil {
			return fmt.Errorf("%w: %s: not confirmed by a majority (%s)", store.ErrUnavailable, what, codeText(we.WriteConcernError.Code, we.WriteConcernError.Name))
		}
		for _, one := range we.WriteErrors {
			return serverError(what, one.Code, "", one.Message)
		}
	}
	var be mongo.BulkWriteException
	if errors.As(err, &be) {
		if be.WriteConcernError != nil {
			return fmt.Errorf("%w: %s: not confirmed by a majority (%s)", store.ErrUnavailable, what, codeText(be.WriteConcernError.Code, be.WriteConcernError.Name))
		}
		for _, one := range be.WriteErrors {
			return serverError(what, one.Code, "", one.Message)
		}
	}
	var ce mongo.CommandError
	if errors.As(err, &ce) && ce.Code != 0 {
		return serverError(what, int(ce.Code), ce.Name, ce.Message)
	}
	if mongo.IsTimeout(err) && !errors.As(err, new(mongo.CommandError)) {
		return fmt.Errorf("%w: %s: no answer in time: %s", store.ErrUnavailable, what, scrub(err.Error(), e.secrets))
	}
	return fmt.Errorf("%w: %s: %s", store.ErrUnavailable, what, scrub(err.Error(), e.secrets))
}

func serverError(what string, code int, name, message string) error {
	text := codeText(code, name)
	switch code {
	case codeBadValue:
		if strings.Contains(message, "hint") {
			return fmt.Errorf("%w: %s: a declared index is missing; run \"trifecta migrate\" (%s)", store.ErrUnavailable, what, text)
		}
		return fmt.Errorf("mongo: %s: refused: %s", what, text)
	case codeFailedToParse, codeTypeMismatch, codeCommandNotFound, codeInvalidOptions, codeDocumentValidation, codeBSONTooLarge:
		return fmt.Errorf("mongo: %s: refused: %s", what, text)
	}
	return fmt.Errorf("%w: %s: %s", store.ErrUnavailable, what, text)
}

func codeText(code int, name string) string {
	if name == "" {
		return "MongoDB error " + strconv.Itoa(code)
	}
	return "MongoDB error " + strconv.Itoa(code) + " " + name
}

// appendSecret adds a secret as it stands in the URL and as it is meant.
func appendSecret(secrets []string, s string) []string {
	if s == "" {
		return secrets
	}
	secrets = append(secrets, s)
	if plain, err := url.PathUnescape(s); err == nil && plain != s {
		secrets = append(secrets, plain)
	}
	return secrets
}

// scrub takes secrets out of a text.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	return text
}
