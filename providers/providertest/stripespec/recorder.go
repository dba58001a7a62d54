package stripespec

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// recorder passes an answer on and keeps a copy of it.
type recorder struct {
	http.ResponseWriter
	body     bytes.Buffer
	status   int
	hijacked bool
}

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// WriteHeader keeps the first status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write keeps what is written.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.body.Write(p)
	return r.ResponseWriter.Write(p)
}

// Hijack lets a handler cut the connection; the exchange is then not judged.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.hijacked = true
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
