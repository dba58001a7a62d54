package stripe

const (
	secretA       = "whsec_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	secretB       = "whsec_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	secretConnect = "whsec_cccccccccccccccccccccccccccccccc"
)
