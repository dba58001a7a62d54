package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const maxNameBytes = 40

// CheckCollections refuses declarations that some engine could not keep. Engines call it when opened; the error wraps
// ErrInvalid and names the collection.
func CheckCollections(colls []Collection) error {
	seen := map[string]bool{}
	for _, c := range colls {
		if !validName(c.Name) {
			return fmt.Errorf("%w: collection name %q", ErrInvalid, c.Name)
		}
		if seen[c.Name] {
			return fmt.Errorf("%w: collection %s is declared twice", ErrInvalid, c.Name)
		}
		seen[c.Name] = true
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

func (c Collection) check() error {
	if _, err := newPlaces(c.Sealed); err != nil {
		return fmt.Errorf("%w: collection %s: %w", ErrInvalid, c.Name, err)
	}
	names := map[string]bool{}
	array := c.ArrayField()
	for _, ix := range c.Indexes {
		fail := func(why string) error {
			return fmt.Errorf("%w: collection %s, index %q: %s", ErrInvalid, c.Name, ix.Name, why)
		}
		if !validName(ix.Name) || names[ix.Name] {
			return fail("its name is malformed or taken")
		}
		names[ix.Name] = true
		if len(ix.Fields) == 0 || len(ix.Fields) > 8 {
			return fail("1 to 8 fields are needed")
		}
		for i, f := range ix.Fields {
			if !validName(f) || slices.Contains(ix.Fields[:i], f) {
				return fail("field " + f + " is malformed or named twice")
			}
			if f == "v" || f == "b" { // MongoDB documents keep version and body there
				return fail("field name " + f + " is reserved")
			}
		}
		if ix.Array != "" && !slices.Contains(ix.Fields, ix.Array) {
			return fail("its array field is not among its fields")
		}
		if ix.Array != "" && ix.Array != array {
			return fail("a collection has one array field at most")
		}
		if ix.Array == "" && array != "" && slices.Contains(ix.Fields, array) {
			return fail("field " + array + " is an array in another index")
		}
	}
	return nil
}

// validName keeps names usable, unquoted, as part of an SQL identifier and as a MongoDB field.
func validName(s string) bool {
	if s == "" || len(s) > maxNameBytes || s[0] < 'a' || s[0] > 'z' || strings.Contains(s+"_", "__") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// ArrayField returns the collection's one array field, or "".
func (c Collection) ArrayField() string {
	for _, ix := range c.Indexes {
		if ix.Array != "" {
			return ix.Array
		}
	}
	return ""
}

// has says that an index has this field.
func (c Collection) has(field string) bool {
	for i := range c.Indexes {
		if slices.Contains(c.Indexes[i].Fields, field) {
			return true
		}
	}
	return false
}

// Fields returns every indexed field once, sorted.
func (c Collection) Fields() []string {
	var fields []string
	for _, ix := range c.Indexes {
		fields = append(fields, ix.Fields...)
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

// Fit returns d without the index values that an older version of this program searched by and this one doesn't: no
// engine takes them, and nothing reads them. d, as an engine returned it, is changed.
func (c Collection) Fit(d Doc) Doc {
	for f := range d.Index {
		if !c.has(f) {
			delete(d.Index, f)
		}
	}
	return d
}

// Checked returns a deep copy of d that is fit to be stored: Body and Index within the limits, times truncated to
// milliseconds UTC, absent values (zero time, nil, empty slice) left out. ErrInvalid or ErrTooLarge otherwise.
func (c Collection) Checked(d Doc) (Doc, error) {
	if err := checkID(d.ID); err != nil {
		return Doc{}, err
	}
	if len(d.Body) > MaxBodyBytes {
		return Doc{}, fmt.Errorf("%w: %s %s: body of %d bytes, limit %d", ErrTooLarge, c.Name, d.ID, len(d.Body), MaxBodyBytes)
	}
	if len(d.Body) == 0 || d.Body[0] != '{' || !quicklyValid(d.Body) && !json.Valid(d.Body) || !utf8.Valid(d.Body) {
		return Doc{}, fmt.Errorf("%w: %s %s: body is not a JSON object", ErrInvalid, c.Name, d.ID)
	}
	out := Doc{ID: d.ID, Version: d.Version, Body: bytes.Clone(d.Body)}
	array := c.ArrayField()
	for f, v := range d.Index {
		if !c.has(f) {
			return Doc{}, fmt.Errorf("%w: %s %s: no index of the collection has field %q", ErrInvalid, c.Name, d.ID, f)
		}
		value, err := checkValue(v, f == array)
		if err != nil {
			return Doc{}, fmt.Errorf("%s %s: field %s: %w", c.Name, d.ID, f, err)
		}
		if value == nil {
			continue
		}
		if out.Index == nil {
			out.Index = make(map[string]any, len(d.Index))
		}
		out.Index[f] = value
	}
	return out, nil
}

// Clone returns a deep copy.
func (d Doc) Clone() Doc {
	d.Body = bytes.Clone(d.Body)
	if d.Index == nil {
		return d
	}
	index := make(map[string]any, len(d.Index))
	for f, v := range d.Index {
		if list, ok := v.([]string); ok {
			v = slices.Clone(list) // the other types are values
		}
		index[f] = v
	}
	d.Index = index
	return d
}

// Tuples returns the places of a checked document in the index: one tuple of values in field order, one for each
// distinct element of the array field, none if the document lacks a field of the index.
func (ix Index) Tuples(d Doc) [][]any {
	tuples := [][]any{make([]any, len(ix.Fields))}
	for i, f := range ix.Fields {
		v, ok := d.Index[f]
		if !ok {
			return nil
		}
		list, isList := v.([]string)
		if !isList {
			for _, t := range tuples {
				t[i] = v
			}
			continue
		}
		list = slices.Compact(slices.Sorted(slices.Values(list)))
		head := tuples[0]
		tuples = tuples[:0]
		for _, s := range list {
			t := slices.Clone(head)
			t[i] = s
			tuples = append(tuples, t)
		}
	}
	return tuples
}

// CheckIDs refuses more ids than GetMany takes (ErrInvalid), and returns each of them once, in order.
func CheckIDs(ids []string) ([]string, error) {
	if len(ids) > MaxGetMany {
		return nil, fmt.Errorf("%w: %d ids at once, at most %d", ErrInvalid, len(ids), MaxGetMany)
	}
	seen := make(map[string]bool, len(ids))
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out, nil
}

func checkID(id string) error {
	if len(id) > MaxIDBytes {
		return fmt.Errorf("%w: id of %d bytes, limit %d", ErrTooLarge, len(id), MaxIDBytes)
	}
	if id == "" || !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0 {
		return fmt.Errorf("%w: id %q", ErrInvalid, id)
	}
	return nil
}

// checkValue normalises one value of Index; nil means absent.
func checkValue(v any, array bool) (any, error) {
	if v == nil {
		return nil, nil
	}
	list, isList := v.([]string)
	if isList != array {
		return nil, fmt.Errorf("%w: %T where array is %v", ErrInvalid, v, array)
	}
	if !isList {
		if t, ok := v.(time.Time); ok && t.IsZero() {
			return nil, nil
		}
		return checkScalar(v)
	}
	if len(list) > MaxIndexArray {
		return nil, fmt.Errorf("%w: array of %d, limit %d", ErrTooLarge, len(list), MaxIndexArray)
	}
	if len(list) == 0 {
		return nil, nil
	}
	for _, s := range list {
		if _, err := checkScalar(s); err != nil {
			return nil, err
		}
	}
	return slices.Clone(list), nil
}

// checkScalar is for filter values too.
func checkScalar(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if len(v) > MaxIndexBytes {
			return nil, fmt.Errorf("%w: value of %d bytes, limit %d", ErrTooLarge, len(v), MaxIndexBytes)
		}
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: value is not UTF-8", ErrInvalid)
		}
		return v, nil
	case int64, bool:
		return v, nil
	case time.Time:
		return time.UnixMilli(v.UnixMilli()).UTC(), nil
	default:
		return nil, fmt.Errorf("%w: type %T", ErrInvalid, v)
	}
}

// Sortable turns a checked scalar into the form that engines without native types keep and sort: a string stays,
// everything else becomes an int64 (a bool 0 or 1, a time its Unix milliseconds).
func Sortable(v any) any {
	switch v := v.(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case time.Time:
		return v.UnixMilli()
	default:
		return v
	}
}

// Compare orders two checked scalars as every engine does: numbers, bools (false first) and times before strings,
// strings by their bytes.
func Compare(a, b any) int {
	a, b = Sortable(a), Sortable(b)
	as, aIsString := a.(string)
	bs, bIsString := b.(string)
	switch {
	case aIsString && bIsString:
		return strings.Compare(as, bs)
	case aIsString:
		return 1
	case bIsString:
		return -1
	}
	ai, _ := a.(int64) // absent values (nil) never reach an index; they'd count as 0
	bi, _ := b.(int64)
	switch {
	case ai < bi:
		return -1
	case ai > bi:
		return 1
	default:
		return 0
	}
}
