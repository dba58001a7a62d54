package paypalapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers/sandbox"
)

// tokenLife is PayPal's: 32400 s = 9 h.
const tokenLife = 32400 * time.Second

// defaultSlow is how long the token endpoint's slow mode holds an answer.
const defaultSlow = 2 * time.Second

type token struct {
	client  string
	expires time.Time // virtual
}

// oauthFault is how the token endpoint misbehaves: see the control API.
type oauthFault struct {
	mode   string
	left   int           // answers still to spoil; negative: all
	life   time.Duration // of new tokens; 0: tokenLife
	delay  time.Duration // of slow answers
	issued int           // tokens given out, for tests
}

// clientOf answers which REST app a bearer token belongs to.
func (s *server) clientOf(r *http.Request, now time.Time) (string, bool) {
	scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	t, ok := s.tokens[strings.TrimSpace(value)]
	return t.client, ok && now.Before(t.expires)
}

type tokenJSON struct {
	Scope       string `json:"scope"`
	AccessToken string `json:"access_token,omitempty"`
	TokenType   string `json:"token_type"`
	AppID       string `json:"app_id"`
	ExpiresIn   int64  `json:"expires_in"`
	Nonce       string `json:"nonce"`
}

type oauthErrorJSON struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// issueToken is POST /v1/oauth2/token (PayPal docs: client credentials grant).
func (s *server) issueToken(rw http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	if !ok || id == "" || secret == "" {
		s.write(rw, reply{http.StatusUnauthorized, oauthErrorJSON{"invalid_client", "Client Authentication failed"}})
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		s.write(rw, reply{http.StatusBadRequest, oauthErrorJSON{"unsupported_grant_type", "Grant Type is NULL or not supported"}})
		return
	}
	mode, delay := s.spoilToken()
	switch mode {
	case "html":
		rw.Header().Set("Content-Type", "text/html")
		rw.WriteHeader(http.StatusServiceUnavailable)
		_, _ = rw.Write([]byte("<html><body><h1>503 Service Unavailable</h1></body></html>"))
		return
	case "no_content":
		rw.WriteHeader(http.StatusNoContent)
		return
	case "slow":
		s.opt.Wait(r.Context(), delay)
	}
	s.write(rw, reply{http.StatusOK, s.newToken(id, mode != "empty_token")})
}

// spoilToken says what happens to this answer and counts it.
func (s *server) spoilToken() (mode string, delay time.Duration) {
	s.w.Lock()
	defer s.w.Unlock()
	f := &s.oauth
	if f.mode == "" || f.left == 0 {
		return "", 0
	}
	if f.left > 0 {
		f.left--
	}
	return f.mode, f.delay
}

func (s *server) newToken(client string, usable bool) tokenJSON {
	s.w.Lock()
	defer s.w.Unlock()
	life := s.oauth.life
	if life == 0 {
		life = tokenLife
	}
	now := s.w.Now()
	out := tokenJSON{
		Scope:     "https://uri.paypal.com/services/payments/realtimepayment https://uri.paypal.com/services/reporting/search/read",
		TokenType: "Bearer", AppID: "APP-80W284485P519543T", ExpiresIn: int64(life / time.Second),
		Nonce: stamp(now) + s.w.Hex(32),
	}
	if !usable {
		return out
	}
	out.AccessToken = s.w.NewID("A21AA", 80)
	s.tokens[out.AccessToken] = token{client: client, expires: now.Add(life)}
	s.oauth.issued++
	return out
}

// controlOAuth is POST /_sandbox/oauth {"mode","count","expires_in","delay_ms"}. mode
// is html, empty_token, no_content, slow or ok; count is how many answers it spoils
// (absent or 0: all, until the next call); expires_in is the life in seconds of tokens
// issued from now on (absent or 0: PayPal's 32400).
func (s *server) controlOAuth(rw http.ResponseWriter, r *http.Request) {
	var in struct {
		Mode      string `json:"mode"`
		Count     int    `json:"count"`
		ExpiresIn int64  `json:"expires_in"`
		DelayMS   int64  `json:"delay_ms"`
	}
	if err := sandbox.ReadControl(r, &in); err != nil {
		sandbox.ControlError(rw, http.StatusBadRequest, err.Error())
		return
	}
	switch in.Mode {
	case "html", "empty_token", "no_content", "slow", "ok", "":
	default:
		sandbox.ControlError(rw, http.StatusBadRequest, "mode must be html, empty_token, no_content, slow or ok")
		return
	}
	if in.Count < 0 || in.ExpiresIn < 0 || in.DelayMS < 0 {
		sandbox.ControlError(rw, http.StatusBadRequest, "count, expires_in and delay_ms must not be negative")
		return
	}
	f := oauthFault{mode: in.Mode, left: in.Count, life: time.Duration(in.ExpiresIn) * time.Second, delay: time.Duration(in.DelayMS) * time.Millisecond}
	if f.mode == "ok" {
		f.mode = ""
	}
	if f.left == 0 {
		f.left = -1
	}
	if f.delay == 0 {
		f.delay = defaultSlow
	}
	s.w.Lock()
	f.issued = s.oauth.issued
	s.oauth = f
	s.w.Unlock()
	sandbox.WriteControl(rw, http.StatusOK, map[string]any{"mode": in.Mode, "issued": f.issued})
}

// controlRevoke is POST /_sandbox/oauth/revoke: every token dies at once.
func (s *server) controlRevoke(rw http.ResponseWriter, _ *http.Request) {
	s.w.Lock()
	n := len(s.tokens)
	clear(s.tokens)
	s.w.Unlock()
	sandbox.WriteControl(rw, http.StatusOK, map[string]any{"revoked": n})
}
