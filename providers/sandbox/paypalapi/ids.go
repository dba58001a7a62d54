package paypalapi

import "encoding/hex"

// idAlphabet is what PayPal's ids are made of: capitals and digits without those that
// look alike. It has 32 characters, so that a byte maps to it evenly.
const idAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// newID returns n characters of idAlphabet, repeatable from the world's seed.
func (s *server) newID(n int) string {
	raw, err := hex.DecodeString(s.w.Hex(2 * n))
	if err != nil { // Hex answers hexadecimal digits by its contract
		panic("paypalapi: World.Hex: " + err.Error())
	}
	for i, b := range raw {
		raw[i] = idAlphabet[int(b)%len(idAlphabet)]
	}
	return string(raw)
}

// objectID is the form of order, authorization, capture and refund ids: 17 capitals
// and digits.
func (s *server) objectID() string { return s.newID(17) }
