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
	"strings"
	"time"
)

// ask makes one operator call to a running server and prints its answer.
func (p program) ask(ctx context.Context, server, method, path string, body any) error {
	key := ""
	for _, e := range p.environ {
		if v, ok := strings.CutPrefix(e, operatorKeyVariable+"="); ok {
			key = v
		}
	}
	if key == "" {
		return fmt.Errorf("set %s to an operator key (trifecta apikey create --operator makes one)", operatorKeyVariable)
	}
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(server, "/")+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, answer, "", "  ") != nil {
		pretty.Reset()
		_, _ = pretty.Write(answer)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the server answered %d:\n%s", resp.StatusCode, pretty.String())
	}
	_, err = fmt.Fprintln(p.out, pretty.String())
	return err
}
