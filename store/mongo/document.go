package mongo

import (
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trifecta-pay/trifecta/store"
)

// The fields that every document has; store.CheckCollections keeps index fields off these names.
const (
	idField      = "_id"
	versionField = "v"
	bodyField    = "b"
)

// encode turns a checked document into what MongoDB keeps, its fields in a fixed order.
func encode(d store.Doc, version int64) bson.D {
	out := bson.D{
		{Key: idField, Value: d.ID},
		{Key: versionField, Value: version},
		{Key: bodyField, Value: string(d.Body)},
	}
	fields := make([]string, 0, len(d.Index))
	for f := range d.Index {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	for _, f := range fields {
		out = append(out, bson.E{Key: f, Value: native(d.Index[f])})
	}
	return out
}

// native is a checked index value as MongoDB compares it.
func native(v any) any {
	if t, ok := v.(time.Time); ok {
		return bson.NewDateTimeFromTime(t)
	}
	return v
}

// decode reads a stored document strictly. Fields that this program does not declare are passed over: a newer one may
// have written them. The bytes of raw are not kept.
func (c *collection) decode(raw bson.Raw) (store.Doc, error) {
	elements, err := raw.Elements()
	if err != nil {
		return store.Doc{}, fmt.Errorf("a document of %s is not BSON", c.decl.Name)
	}
	var d store.Doc
	body, seen := "", 0
	for _, el := range elements {
		key, value := el.Key(), el.Value()
		ok := true
		switch {
		case key == idField:
			d.ID, ok = value.StringValueOK()
			seen++
		case key == versionField:
			d.Version, ok = value.Int64OK()
			seen++
		case key == bodyField:
			body, ok = value.StringValueOK()
			seen++
		case c.fields[key]:
			var v any
			if v, ok = indexValue(value, key == c.decl.ArrayField()); ok {
				if d.Index == nil {
					d.Index = map[string]any{}
				}
				d.Index[key] = v
			}
		}
		if !ok {
			return store.Doc{}, fmt.Errorf("document %s of %s: field %s is a %s, not what we write", d.ID, c.decl.Name, key, value.Type)
		}
	}
	if seen != 3 || d.ID == "" || d.Version < 1 {
		return store.Doc{}, fmt.Errorf("document %q of %s lacks id, version or body", d.ID, c.decl.Name)
	}
	d.Body = []byte(body)
	return d, nil
}

// remains is what can be read of a document that decode refuses: its id and index values. ok is false without an id.
func (c *collection) remains(raw bson.Raw) (d store.Doc, ok bool) {
	elements, err := raw.Elements()
	if err != nil {
		return d, false
	}
	d.Index = map[string]any{}
	for _, el := range elements {
		if key := el.Key(); key == idField {
			d.ID, ok = el.Value().StringValueOK()
		} else if c.fields[key] {
			if v, readable := indexValue(el.Value(), key == c.decl.ArrayField()); readable {
				d.Index[key] = v
			}
		}
	}
	return d, ok && d.ID != ""
}

func indexValue(v bson.RawValue, array bool) (any, bool) {
	if array {
		list, ok := v.ArrayOK()
		if !ok {
			return nil, false
		}
		values, err := list.Values()
		if err != nil {
			return nil, false
		}
		out := make([]string, 0, len(values))
		for _, el := range values {
			s, ok := el.StringValueOK()
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	}
	switch v.Type {
	case bson.TypeString:
		return v.StringValueOK()
	case bson.TypeInt64:
		return v.Int64OK()
	case bson.TypeBoolean:
		return v.BooleanOK()
	case bson.TypeDateTime:
		ms, ok := v.DateTimeOK()
		return time.UnixMilli(ms).UTC(), ok
	default:
		return nil, false
	}
}
