package stripeapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// form holds request parameters in Stripe's nested bracket notation.
type form url.Values

func (f form) get(key string) string { return url.Values(f).Get(key) }

func (f form) has(key string) bool { return len(f[key]) > 0 }

// under says whether any parameter starts with prefix[.
func (f form) under(prefix string) bool {
	for k := range f {
		if strings.HasPrefix(k, prefix+"[") {
			return true
		}
	}
	return false
}

// flag is a boolean parameter, false if absent.
func (f form) flag(key string) bool { return f.get(key) == "true" }

// list collects key[], key[0], key[1], ... in order.
func (f form) list(key string) []string {
	out := append([]string{}, f[key+"[]"]...)
	for i := 0; ; i++ {
		v, ok := f[key+"["+strconv.Itoa(i)+"]"]
		if !ok {
			return out
		}
		out = append(out, v...)
	}
}

// sub collects prefix[name]=value pairs one level deep.
func (f form) sub(prefix string) map[string]string {
	out := map[string]string{}
	for k := range f {
		rest, ok := strings.CutPrefix(k, prefix+"[")
		if name, closed := strings.CutSuffix(rest, "]"); ok && closed && !strings.Contains(name, "[") {
			out[name] = f.get(k)
		}
	}
	return out
}

// groups returns the prefixes prefix[0], prefix[1], ... that have parameters.
func (f form) groups(prefix string) []string {
	var out []string
	for i := 0; ; i++ {
		p := prefix + "[" + strconv.Itoa(i) + "]"
		if !f.under(p) {
			return out
		}
		out = append(out, p)
	}
}

// integer reads an optional integer; ok says whether it is there.
func (f form) integer(key string) (n int64, ok bool, fail *apiError) {
	s := f.get(key)
	if s == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false, &apiError{status: 400, typ: typeInvalid, code: "parameter_invalid_integer", param: key, msg: "Invalid integer: " + s}
	}
	return n, true, nil
}

// oneOf checks an optional enumeration and returns it or its default.
func (f form) oneOf(key, def string, allowed ...string) (string, *apiError) {
	v := f.get(key)
	if v == "" {
		return def, nil
	}
	if !slices.Contains(allowed, v) {
		return "", invalid(key, "Invalid "+key+": must be one of "+strings.Join(allowed, ", "))
	}
	return v, nil
}

// metadata reads and checks metadata (Stripe docs: 50 keys, names of 40 and values
// of 500 characters). merge is what an update changes; an empty value deletes.
func (f form) metadata(prefix string, merge map[string]string) (map[string]string, *apiError) {
	out := map[string]string{}
	for k, v := range merge {
		out[k] = v
	}
	if f.has(prefix) && f.get(prefix) == "" {
		clear(out) // metadata= unsets all
	}
	for k, v := range f.sub(prefix) {
		p := prefix + "[" + k + "]"
		switch {
		case k == "" || len([]rune(k)) > 40:
			return nil, invalid(p, "Metadata keys must have between 1 and 40 characters.")
		case len([]rune(v)) > 500:
			return nil, invalid(p, "Metadata values can have up to 500 characters.")
		case v == "":
			delete(out, k)
		default:
			out[k] = v
		}
	}
	if len(out) > 50 {
		return nil, invalid(prefix, "Metadata can have up to 50 keys.")
	}
	return out, nil
}

// orNull makes an empty string null on the wire.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
