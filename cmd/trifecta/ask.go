package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ask makes one operator call to a running server and prints its answer.
func (p program) ask(ctx context.Context, server, method, path string, body any) error {
	answer, err := p.asked(ctx, server, method, path, body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.out, readable(answer))
	return err
}

// readable is an answer with its JSON, if it is any, spread over lines.
func readable(answer []byte) string {
	var pretty bytes.Buffer
	if json.Indent(&pretty, answer, "", "  ") != nil {
		return string(answer)
	}
	return pretty.String()
}

// asked makes one operator call and returns the body of its answer.
func (p program) asked(ctx context.Context, server, method, path string, body any) ([]byte, error) {
	key := ""
	for _, e := range p.environ {
		if v, ok := strings.CutPrefix(e, operatorKeyVariable+"="); ok {
			key = v
		}
	}
	if key == "" {
		return nil, fmt.Errorf("set %s to an operator key (trifecta apikey create --operator makes one)", operatorKeyVariable)
	}
	if server == "" {
		return nil, errors.New("say which running server to ask: --server URL")
	}
	if u, err := url.Parse(server); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--server: %q is not a URL, such as http://127.0.0.1:8080", server)
	}
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(server, "/")+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w; is the server running there? --server URL says which one to ask", err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return nil, fmt.Errorf("%s refuses the key in %s (%d): it must be an operator key of that server's store, not revoked\n%s", server, operatorKeyVariable, resp.StatusCode, readable(answer))
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("the server answered %d:\n%s", resp.StatusCode, readable(answer))
	}
	return answer, nil
}
