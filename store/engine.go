// Package store holds what Trifecta keeps (payments, inbox, feed, leases, cursors, ...), written once over the small
// document Engine port declared in this file. The engines are store/sqlite (one file, nothing to install), store/mem
// (tests and the simulator) and store/mongo (production); store/enginetest is the suite that all of them pass.
//
// It must not: use an operator that only one engine has, need a transaction over more than one document, rely on an
// expiry feature of a database for correctness, read a clock (time comes in as a parameter), or import an engine.
//
// Rules that make every engine the same, and MongoDB fit:
//
//   - A document is one row: an id, a version, a JSON body, and the values of the declared index fields. The body is
//     opaque to engines; only Index values can be searched.
//   - Every state change is a compare-and-swap of one document (see Update). Uniqueness exists for ids only.
//   - Every query names a declared index and is served by it alone; a query that would need a table scan is refused.
package store

import (
	"context"
	"errors"
)

// Limits that every engine enforces, in bytes or counts. They keep a document far below MongoDB's 16 MB.
const (
	MaxIDBytes     = 256     // longest document id
	MaxBodyBytes   = 1 << 20 // largest Body; above it: ErrTooLarge
	MaxIndexBytes  = 1024    // longest string in Index; above it: ErrTooLarge
	MaxIndexArray  = 100     // most elements of an array field; above it: ErrTooLarge
	MaxLimit       = 500     // largest Limit of Query and Scan
	DefaultLimit   = 100     // what Limit 0 means
	MaxGetMany     = 1000    // most ids in one GetMany
	MaxInBranches  = 64      // most combinations that the In filters of one query may span
	maxCursorBytes = 4096
)

// The kinds of error an Engine returns; test them with errors.Is. Anything else is a bug or a corrupt record.
var (
	// ErrExists: Insert found a document with this id.
	ErrExists = errors.New("store: document exists")
	// ErrNotFound: Get found no document with this id.
	ErrNotFound = errors.New("store: document not found")
	// ErrConflict: the stored version is not the expected one, or the document is gone. Nothing was written.
	ErrConflict = errors.New("store: version conflict")
	// ErrUnavailable: the store can't answer now, or did not answer in time (then the context's error is wrapped too).
	// After Insert, Replace or Delete it means UNKNOWN: the write may have happened, or may still happen. Never read
	// it as "not written". Read back (Update and InsertOnce do), or let an idempotent command be repeated; an HTTP
	// caller answers 503.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrBadCursor: After is not a cursor that this very query gave out (broken, or from another collection, index,
	// order or equality filter). An HTTP caller answers 400.
	ErrBadCursor = errors.New("store: bad cursor")
	// ErrTooLarge: the id, body or an index value is above its limit. Nothing was written.
	ErrTooLarge = errors.New("store: document too large")
	// ErrInvalid: the caller's mistake: undeclared collection, index or field, wrong value type, body not a JSON
	// object, limit out of range. Nothing was written or read. It is a bug in our code, never the customer's fault.
	ErrInvalid = errors.New("store: invalid request")
)

// Doc is one stored document.
type Doc struct {
	// ID is the primary key: 1 to MaxIDBytes bytes of valid UTF-8 without NUL. Ids sort by their bytes.
	ID string
	// Version is 1 after Insert and grows by 1 with each Replace. Engines ignore it on the way in.
	Version int64
	// Body is one JSON object (valid UTF-8, at most MaxBodyBytes), kept byte for byte. Encode it from a struct, so
	// that equal content is equal bytes: a lost acknowledgement is recognised by comparing bodies.
	Body []byte
	// Index holds values of fields that the collection's indexes declare, and nothing else: string, int64, bool,
	// time.Time or, for the collection's one array field, []string. One field always holds one type. Times are kept
	// as UTC at millisecond precision (truncated). A zero time, an empty or nil slice and nil are the same as leaving
	// the field out. A document that lacks a field of an index is not found through that index.
	Index map[string]any
}

// Index declares one way to search a collection.
type Index struct {
	// Name is unique in its collection: [a-z][a-z0-9_]*, at most 40 characters, no "__", no "_" last. Field names likewise,
	// but not "v" or "b".
	Name string
	// Fields in order: equality fields first, the sort (and range) field last. A query either sorts by the last field
	// and has Eq or In on all others, or has Eq or In on all of them and comes ordered by id.
	Fields []string
	// Array names the one array field within Fields, or is empty. Eq and In on it mean "contains". It can't be the
	// sort field. A collection has at most one array field, but any number of indexes may use it.
	Array string
}

// Collection declares a set of documents. Collections() lists all of ours; engines receive the list when opened.
type Collection struct {
	// Name: [a-z][a-z0-9_]*, at most 40 characters, no "__", no "_" last.
	Name    string
	Indexes []Index
	// Sealed are the places in Body where personal data and secrets stand: member names joined by dots, [] for every
	// element of an array ("payment.Outbox[].Body"). What is under them is encrypted at rest (see Sealed); engines never
	// look at it. A place can be added at any time: what is stored plain stays readable.
	Sealed []string
}

// Op is a filter's operator.
type Op uint8

// Eq and In go on equality fields; Gt, Gte, Lt, Lte (and no other) on the sort field.
const (
	Eq Op = iota + 1
	In
	Gt
	Gte
	Lt
	Lte
)

// Filter is one condition of a query. Filters are joined by "and"; an equality field has exactly one, the sort field
// at most one lower and one upper bound.
type Filter struct {
	Field string
	Op    Op
	// Value for every Op but In. string, int64, bool or time.Time, and of the type that the field always has.
	Value any
	// Values for In only. No values match nothing.
	Values []any
}

// Where builds a Filter: In takes all values, every other operator exactly the one.
func Where(field string, op Op, values ...any) Filter {
	if op != In && len(values) == 1 {
		return Filter{Field: field, Op: op, Value: values[0]}
	}
	return Filter{Field: field, Op: op, Values: values}
}

// Query searches one collection through one declared index.
type Query struct {
	// Index is the declared index's name.
	Index string
	Where []Filter
	// SortBy is the index's last field, or "" for order by id. Ties are ordered by id in the same direction.
	SortBy string
	Desc   bool
	// Limit is at most MaxLimit; 0 means DefaultLimit.
	Limit int
	// After is the cursor that the previous page of the same query returned, or "". Range bounds may change between
	// pages (a worker's "due before now"); collection, index, order and equality filters may not: ErrBadCursor. A
	// cursor is a position, not a permission: it is checked for damage but anyone who reads this code can make one,
	// so what a caller may see must come from Where.
	After string
}

// Engine is the document store port. Implementations are safe for concurrent use; every read sees every write that
// was acknowledged before it began; a write is acknowledged only once it is durable (mem: once it is applied).
//
// All methods return an error that wraps both ErrUnavailable and the context's error when the context ends first, and
// ErrInvalid for an undeclared collection. Documents passed in and returned are never shared with the engine.
type Engine interface {
	// Insert stores a new document with version 1. ErrExists if the id exists, ErrTooLarge, ErrInvalid,
	// ErrUnavailable (outcome unknown; see InsertOnce).
	Insert(ctx context.Context, coll string, d Doc) error
	// Get returns one document, or ErrNotFound.
	Get(ctx context.Context, coll, id string) (Doc, error)
	// GetMany returns the documents that exist, in the order of ids (at most MaxGetMany); missing ones are left out and an id
	// named twice comes once. It is not a snapshot across documents.
	GetMany(ctx context.Context, coll string, ids []string) ([]Doc, error)
	// Replace stores d as version ifVersion+1 if the stored version is ifVersion; ErrConflict if it is another or the
	// document is gone. ErrTooLarge, ErrInvalid, ErrUnavailable (outcome unknown; see Update).
	Replace(ctx context.Context, coll string, d Doc, ifVersion int64) error
	// Delete removes the document if its version is ifVersion; ErrConflict otherwise, also when it is gone already.
	// For queues and retention only: money is never deleted. An id inserted again starts at version 1 again.
	Delete(ctx context.Context, coll, id string, ifVersion int64) error
	// Query returns up to Limit documents in the stable order (sort field, id), and the cursor of the next page: ""
	// when there was nothing more. Paging never skips nor repeats a document whose sort value stays the same,
	// whatever is inserted or deleted meanwhile. ErrBadCursor, ErrInvalid, ErrUnavailable.
	Query(ctx context.Context, coll string, q Query) (docs []Doc, next string, err error)
	// Scan returns up to limit documents (0: DefaultLimit) by id, from the cursor on; for migration and maintenance.
	Scan(ctx context.Context, coll, after string, limit int) (docs []Doc, next string, err error)
	// Ping tells whether the store can answer: nil or ErrUnavailable.
	Ping(ctx context.Context) error
	// Close waits for writes under way. Afterwards every method returns ErrUnavailable.
	Close() error
}
