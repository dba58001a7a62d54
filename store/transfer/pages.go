package transfer

import "github.com/trifecta-pay/trifecta/store"

const (
	// pageBytes is about what one page may weigh: an engine behind a slow line has seconds for each (MongoDB's 8 s).
	pageBytes = 4 << 20
	// firstPage is the size of the first page of a collection, whose documents may all be of the largest kind.
	firstPage = pageBytes / store.MaxBodyBytes
)

// pacer says how many documents the next page of a collection takes, from how large those of the last one were.
type pacer struct {
	most int // documents
	next int // 0: nothing was seen yet
}

func (p *pacer) size() int {
	if p.next == 0 {
		return min(p.most, firstPage)
	}
	return p.next
}

func (p *pacer) saw(docs []store.Doc) {
	bytes := 1
	for _, d := range docs {
		bytes += len(d.Body)
	}
	// At most eight times more at once: large ones may follow.
	p.next = min(p.most, max(1, pageBytes*len(docs)/bytes), p.size()*8)
}
