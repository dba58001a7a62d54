package httpapi

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
)

type ginContext = gin.Context

// RoutesOf are the methods and paths that a handler of New's serves, in order.
func RoutesOf(h http.Handler) []string {
	var out []string
	if e, ok := h.(*gin.Engine); ok {
		for _, r := range e.Routes() {
			out = append(out, r.Method+" "+r.Path)
		}
	}
	slices.Sort(out)
	return out
}
