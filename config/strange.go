package config

import (
	"reflect"
	"slices"
	"strings"
)

// Strange are the variables of our prefix that set nothing, sorted: most likely a key that
// is misspelt. Load does not refuse them, because orchestrators add variables of their own;
// those of a Kubernetes service (its documentation: "Environment variables") are left out,
// and so is what also names: variables that something else reads. Misspelt variables of
// accounts, apps and other groups are refused by Load.
func Strange(environ []string, also ...string) []string {
	ours := environMap(environ)
	var services []string
	for name := range ours {
		if service, ok := strings.CutSuffix(name, "_SERVICE_HOST"); ok {
			services = append(services, service)
		}
	}
	known := append(flat(reflect.TypeFor[raw](), EnvPrefix), also...)
	var out []string
	for name := range ours {
		injected := slices.ContainsFunc(services, func(s string) bool {
			return strings.HasPrefix(name, s+"_SERVICE_") || name == s+"_PORT" || strings.HasPrefix(name, s+"_PORT_")
		})
		if strings.HasPrefix(name, EnvPrefix) && !injected && !slices.Contains(known, name) && !structured.MatchString(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// flat names the variables of a struct and of those within it that are no lists.
func flat(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("env"); name != "" {
			out = append(out, prefix+name)
		}
		if below := f.Tag.Get("envPrefix"); below != "" && f.Type.Kind() == reflect.Struct {
			out = append(out, flat(f.Type, prefix+below)...)
		}
	}
	return out
}
