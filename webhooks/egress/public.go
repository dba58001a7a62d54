package egress

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
)

// Public says whether an address is one of the public internet: of IPv4 all but
// the special blocks, of IPv6 only 2000::/3 without the special blocks in it
// (IANA special-purpose address registries). Addresses with a zone never are.
func Public(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	if !ip.Is4() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return false
	}
	for _, block := range special() {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}

func special() []netip.Prefix {
	blocks := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	}
	out := make([]netip.Prefix, 0, len(blocks))
	for _, b := range blocks {
		out = append(out, netip.MustParsePrefix(b))
	}
	return out
}

func tlsWith(roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}
