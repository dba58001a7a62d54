package sandbox

import (
	"html/template"
	"net/http"
	"strings"
)

// WritePage writes a hosted page; nothing but its own inline style may load.
func WritePage(rw http.ResponseWriter, status int, page *template.Template, view any) {
	var b strings.Builder
	if err := page.Execute(&b, view); err != nil {
		http.Error(rw, "page not renderable", http.StatusInternalServerError)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	rw.WriteHeader(status)
	_, _ = rw.Write([]byte(b.String())) // a browser that hung up can't be told
}
