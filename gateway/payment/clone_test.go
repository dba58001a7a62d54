package payment

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// Guards everything that works on a copy: a clone equals its original and shares no
// memory that could be changed with it. A new set or field that Clone forgets fails
// here. (History entries are never changed, so what they hold may be shared.)
func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	p := &Payment{}
	fillIn(t, reflect.ValueOf(p).Elem())
	c := p.Clone()
	if !reflect.DeepEqual(p, c) {
		t.Error("the clone differs from its original")
	}
	unshared(t, reflect.ValueOf(p).Elem(), reflect.ValueOf(c).Elem(), "Payment")
}

func fillIn(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fillIn(t, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillIn(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillIn(t, key)
		fillIn(t, value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	default:
		t.Fatalf("teach fillIn about %s", v.Type())
	}
}

func unshared(t *testing.T, a, b reflect.Value, path string) {
	t.Helper()
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type() != reflect.TypeFor[time.Time]() {
				unshared(t, a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		if a.Pointer() == b.Pointer() && !strings.Contains(path, ".History[") {
			t.Errorf("%s is shared", path)
		}
		for i := range a.Len() {
			unshared(t, a.Index(i), b.Index(i), path+"[]")
		}
	case reflect.Map:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
		}
	}
}
