package browser

import "github.com/chromedp/chromedp"

// clickRadio chooses how the sandbox's PayPal is paid.
func clickRadio(value string) chromedp.Action {
	return chromedp.Click(`input[name=funding][value=`+value+`]`, chromedp.ByQuery)
}
