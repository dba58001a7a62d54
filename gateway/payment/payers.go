package payment

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// MaxDeclines bounds the declines that one payment keeps: the earliest ones. More
// tell nothing new about it, and a card tester on an open page can make thousands.
const MaxDeclines = 100

// Card is what a provider tells of a card: never its number. Fingerprint is the same
// for the same card at one provider account, whoever holds it.
type Card struct {
	Fingerprint string `json:",omitzero"`
	Brand       string `json:",omitzero"`
	Last4       string `json:",omitzero"`
}

// Payer is who paid, or agreed to, as the provider knows them. Key is the charge or
// order that says so. It merges by greatest (as_of, known members, digest).
type Payer struct {
	Key       ObjectKey
	N         int    // attempt
	Card      Card   `json:",omitzero"` // zero where no card was used
	PayerID   string `json:",omitzero"` // the provider's id of the person, if it has one
	EmailHash string `json:",omitzero"` // EmailHash of the address that they gave the provider
	Stamp
}

// Decline is one try at paying that was refused: a failed charge, a declined capture,
// or a declined instrument. Key is that object's id; where the provider makes none, an
// id derived from our own call. Merged as Payer is.
type Decline struct {
	Key         ObjectKey
	N           int
	Code        string `json:",omitzero"` // card_declined, instrument_declined, capture_declined ...
	DeclineCode string `json:",omitzero"` // the provider's finer code, such as insufficient_funds
	Card        Card   `json:",omitzero"`
	PayerID     string `json:",omitzero"`
	EmailHash   string `json:",omitzero"`
	Stamp
}

func comparePayers(a, b Payer) int {
	if c := a.AsOf.Compare(b.AsOf); c != 0 {
		return c
	}
	return cmp.Compare(known(a.Card, a.PayerID, a.EmailHash), known(b.Card, b.PayerID, b.EmailHash))
}

func compareDeclines(a, b Decline) int {
	if c := a.AsOf.Compare(b.AsOf); c != 0 {
		return c
	}
	return cmp.Compare(known(a.Card, a.PayerID, a.EmailHash), known(b.Card, b.PayerID, b.EmailHash))
}

// known counts what a sighting tells of a person.
func known(c Card, id, email string) int {
	n := 0
	for _, v := range []string{c.Fingerprint, c.Brand, c.Last4, id, email} {
		if v != "" {
			n++
		}
	}
	return n
}

// earliest keeps the first n of a set by (created, key), sorted by key again. Taking
// the first n of a union is the same whichever order it was made in, as long as an
// object's creation time never changes.
func earliest(set []Decline, n int) []Decline {
	if len(set) <= n {
		return set
	}
	set = slices.Clone(set)
	slices.SortFunc(set, func(a, b Decline) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Key.text(), b.Key.text()))
	})
	set = set[:n]
	slices.SortFunc(set, func(a, b Decline) int { return strings.Compare(a.Key.text(), b.Key.text()) })
	return set
}

// EmailHash is how an e-mail address stands where only equality matters: the hex
// SHA-256 of "trifecta:email:" and the address in lower case without outer white space.
// Empty for what is no address. It hides addresses from a reader, not from somebody
// who guesses them: treat it as personal data.
func EmailHash(address string) string {
	address = strings.ToLower(strings.TrimSpace(address))
	if at := strings.LastIndexByte(address, '@'); at < 1 || at == len(address)-1 {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte("trifecta:email:"+address)))
}
