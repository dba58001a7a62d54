package payment

import (
	"math"
	"reflect"
	"testing"
)

// Guards I7 and I10: whatever holds an amount or an id in an observation is looked
// at. A set added to Facts without a line in Check fails here.
func TestImplausibleFactsAreRefused(t *testing.T) {
	t.Parallel()
	ours := map[string]bool{"Opened": true, "Decisions": true, "Payers": true, "Declines": true} // no money; ours, or keyed by their parent
	facts := reflect.TypeFor[Facts]()
	for i := range facts.NumField() {
		set := facts.Field(i)
		if set.Type.Kind() != reflect.Slice || ours[set.Name] {
			continue
		}
		build := func(id string, change func(entry reflect.Value)) Observation {
			var o Observation
			field := reflect.ValueOf(&o.Facts).Elem().Field(i)
			field.Set(reflect.MakeSlice(set.Type, 1, 1))
			field.Index(0).FieldByName("Key").FieldByName("ID").SetString(id)
			if change != nil {
				change(field.Index(0))
			}
			return o
		}
		if err := build("x", nil).Check(); err != nil {
			t.Errorf("%s: %v", set.Name, err)
		}
		if build("", nil).Check() == nil {
			t.Errorf("%s: accepted without an id", set.Name)
		}
		entry := set.Type.Elem()
		for j := range entry.NumField() {
			f := entry.Field(j)
			if f.Type != reflect.TypeFor[Money]() && (f.Type.Kind() != reflect.Int64 || f.Anonymous) {
				continue
			}
			for _, bad := range []int64{-1, MaxReported + 1, math.MaxInt64, math.MinInt64} {
				if set.Name == "Fees" && bad == -1 {
					continue
				}
				err := build("x", func(e reflect.Value) {
					if f.Type.Kind() == reflect.Int64 {
						e.Field(j).SetInt(bad)
						return
					}
					e.Field(j).FieldByName("Minor").SetInt(bad)
				}).Check()
				if err == nil {
					t.Errorf("%s.%s: %d was accepted", set.Name, f.Name, bad)
				}
			}
		}
	}
}
