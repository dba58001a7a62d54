// Package exchange is what judges of HTTP traffic share: a copy of an answer while
// it passes, and where the repository is. It is for tests, knows no provider, and
// imports nothing of ours.
package exchange

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// Recorder passes an answer on and keeps a copy of it.
type Recorder struct {
	http.ResponseWriter
	// Body is what was written so far.
	Body bytes.Buffer
	// Hijacked says that the handler took the connection: there is no answer to judge.
	Hijacked bool
	// Status is what the handler named; 0 where it named none yet.
	Status int
}

// Code is the answer's status; 200 where the handler named none.
func (r *Recorder) Code() int {
	if r.Status == 0 {
		return http.StatusOK
	}
	return r.Status
}

// WriteHeader keeps the first status.
func (r *Recorder) WriteHeader(status int) {
	if r.Status == 0 {
		r.Status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write keeps what is written.
func (r *Recorder) Write(p []byte) (int, error) {
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	r.Body.Write(p)
	return r.ResponseWriter.Write(p)
}

// Hijack lets a handler cut the connection; the exchange is then not judged.
func (r *Recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.Hijacked = true
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
