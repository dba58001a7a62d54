// Package egress calls addresses that somebody else chose: alert webhooks, and
// deliveries to apps. It looks at the resolved address when it connects, so that
// no name and no redirect leads it into our own network.
//
// It must not: follow redirects, use a proxy of the environment, keep cookies,
// unpack, read more than a little of an answer, or say in an error what it saw
// of our network.
package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// maxAnswer bounds what is read of an answer's body and of its header, in bytes.
const maxAnswer = 16 << 10

// Why a call was not made or has no answer. Their texts are safe to show to
// whoever chose the address.
var (
	ErrAddress = errors.New("the address is not allowed")
	ErrConnect = errors.New("no connection could be made")
	ErrAnswer  = errors.New("no answer came in time")
)

// Error is a failed call. Its text names no address of our network; the cause is
// for errors.Is only.
type Error struct {
	Reason error // one of the above
	Detail string
	Cause  error
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Reason.Error()
	}
	return e.Reason.Error() + ": " + e.Detail
}

// Is matches the reason.
func (e *Error) Is(target error) bool { return target == e.Reason }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Resolver finds addresses. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options are limits. The zero Options are for production.
type Options struct {
	// AllowPrivate also permits http, every port, and addresses of this machine
	// and of private networks: for development. New refuses it together with Live.
	AllowPrivate bool
	Live         bool
	// Ports that may be called; default 443.
	Ports []int
	// RefuseHosts are names that are never called: our own.
	RefuseHosts []string
	Timeout     time.Duration // of a whole call; default 15 s
	Resolver    Resolver      // default: the system's
	Roots       *x509.CertPool
}

// Client makes calls.
type Client struct {
	o    Options
	http *http.Client
}

// Answer is what came back. Body is cut at 16 kB.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// New makes a client.
func New(o Options) (*Client, error) {
	if o.AllowPrivate && o.Live {
		return nil, errors.New("egress: private addresses are for development and can't be allowed in live mode")
	}
	if len(o.Ports) == 0 {
		o.Ports = []int{443}
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	c := &Client{o: o}
	transport := &http.Transport{
		Proxy: nil, DialContext: c.dial, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: o.Timeout,
		DisableKeepAlives:  true, // so that every call is checked at its own connect
		DisableCompression: true, MaxResponseHeaderBytes: maxAnswer, ForceAttemptHTTP2: true,
	}
	if o.Roots != nil {
		transport.TLSClientConfig = tlsWith(o.Roots)
	}
	c.http = &http.Client{
		Transport: transport, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Post sends body to an address. Any answer is an Answer, a redirect too; an
// error is an *Error.
func (c *Client) Post(ctx context.Context, address string, header http.Header, body []byte) (Answer, error) {
	if err := c.Check(address); err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, &Error{Reason: ErrAddress, Cause: err}
	}
	req.Header = header.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, failure(err)
	}
	read, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Answer{}, &Error{Reason: ErrAnswer, Cause: err}
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: read}, nil
}

// failure turns the client's error, which names addresses, into ours.
func failure(err error) error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	var certificate *x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &certificate), errors.As(err, &name), errors.As(err, &invalid):
		return &Error{Reason: ErrConnect, Detail: "its certificate is not valid", Cause: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Reason: ErrAnswer, Cause: err}
	}
	return &Error{Reason: ErrConnect, Cause: err}
}

func refused(detail string) error { return &Error{Reason: ErrAddress, Detail: detail} }

// Check looks at an address without calling it: at registration, and again
// before each call.
func (c *Client) Check(address string) error {
	if strings.ContainsFunc(address, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '\\' }) {
		return refused("it holds white space, control characters or a backslash")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return refused("it is not a URL")
	case u.Scheme != "https" && (u.Scheme != "http" || !c.o.AllowPrivate):
		return refused("it is not https")
	case u.User != nil:
		return refused("it holds a user name")
	case strings.Contains(u.Host, "%"):
		return refused("it holds a zone")
	}
	port := 443
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return refused("its port is not a number from 1 to 65535")
		}
	}
	if !c.o.AllowPrivate && !slices.Contains(c.o.Ports, port) {
		return refused("its port is not allowed")
	}
	return c.checkHost(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")))
}

func (c *Client) checkHost(host string) error {
	if slices.ContainsFunc(c.o.RefuseHosts, func(own string) bool { return strings.EqualFold(own, host) }) {
		return refused("it is our own")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return c.checkIP(ip)
	}
	// What ends in a number is an IPv4 address to many resolvers (WHATWG URL, "ends
	// in a number checker"): 2130706433, 0x7f.1, 0177.0.0.1, 127.1.
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 10, 64); err == nil || strings.HasPrefix(last, "0x") {
		return refused("it is a number that is not an IP address")
	}
	if !c.o.AllowPrivate && (host == "localhost" || strings.HasSuffix(host, ".localhost") || !strings.Contains(host, ".")) {
		return refused("it is a name of this machine or network")
	}
	return nil
}

// checkIP says whether an address may be connected to.
func (c *Client) checkIP(ip netip.Addr) error {
	if c.o.AllowPrivate || Public(ip) {
		return nil
	}
	return refused("it is not a public address")
}

// dial resolves a name, refuses it if any of its addresses is not public, and
// connects to one that is. The address is looked at once more when the socket
// connects.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &Error{Reason: ErrAddress, Cause: err}
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else if ips, err = c.o.Resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, &Error{Reason: ErrConnect, Detail: "its name can't be resolved", Cause: err}
	}
	for _, ip := range ips {
		if err := c.checkIP(ip); err != nil {
			return nil, err
		}
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("egress: %w", err)
		}
		return c.checkIP(ap.Addr())
	}}
	var last error
	for _, ip := range ips {
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	var ours *Error
	if errors.As(last, &ours) {
		return nil, ours
	}
	return nil, &Error{Reason: ErrConnect, Cause: last}
}
