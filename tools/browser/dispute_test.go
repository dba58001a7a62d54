package browser

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A customer disputes a payment; the admins' mail says so, in the inbox, on a
// desk, on a phone, in the dark and without JavaScript.
func TestDisputeArrivesInTheInbox(t *testing.T) {
	for name, s := range map[string]screen{
		"desk": desk, "phone": {width: 360, height: 740, script: true},
		"phone-dark-no-script": {width: 360, height: 740, dark: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t)
			p := open(t, s)
			p.visit(d.inbox)
			p.sees("No mail yet")
			p.picture("empty-inbox")
			p.buy(d)
			p.click(chooseStripe)
			p.payCard("4242 4242 4242 4242")
			p.sees("Paid. Thank you!")
			p.click(`form[action$="/dispute"] button`)
			p.reloadUntil("Paid, and disputed")
			p.picture("disputed")
			p.readable()
			p.click(`dd a[href^="` + d.inbox + `"]`)
			p.reloadUntil("disputes a payment")
			p.picture("inbox")
			p.readable()
			p.click(`li a`)
			p.sees("19.99 USD")
			p.sees("what it means")
			p.sees("what to do")
			p.picture("mail")
			p.readable()
			mail := p.url()
			p.click(`a[href$="/html"]`)
			p.sees("19.99 USD")
			p.picture("html-part")
			p.readable()
			p.visit(mail)
			p.click(`nav a`)
			p.sees("disputes a payment")
			d.wantCaptures(t, 1999)
		})
	}
}

// reloadUntil looks again, as a person would, until the page says it.
func (p *person) reloadUntil(want string) {
	p.t.Helper()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for !strings.Contains(strings.ToLower(p.text()), strings.ToLower(want)) {
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("the page never said %q", want)
		case <-again.C:
			p.run(chromedp.Reload())
		}
	}
}

// readable says that a page has what its readers need, whoever they are: a
// language, a title, one main heading, names for what can be pressed or filled
// in, targets that a finger hits, contrast, and no sideways scrolling.
func (p *person) readable() {
	p.t.Helper()
	var faults []string
	script := func(on bool) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			return emulation.SetScriptExecutionDisabled(!on).Do(ctx)
		})
	}
	p.run(script(true), chromedp.Evaluate(readableScript, &faults))
	for _, f := range faults {
		p.t.Errorf("%s: %s", p.url(), f)
	}
	p.fits()
	p.run(script(p.script))
}

// readableScript lists what is wrong with the page. Contrast is WCAG 2.2's ratio.
const readableScript = `(() => {
  const out = [];
  if (!document.documentElement.lang) out.push("no language");
  if (!document.title.trim()) out.push("no title");
  const h1 = document.querySelectorAll("h1").length;
  if (h1 !== 1) out.push(h1 + " main headings");
  let level = 0;
  for (const h of document.querySelectorAll("h1,h2,h3,h4")) {
    const n = Number(h.tagName[1]);
    if (n > level + 1) out.push("heading " + h.textContent.trim() + " skips a level");
    level = n;
  }
  for (const e of document.querySelectorAll("a,button,iframe,input:not([type=hidden]),select,textarea")) {
    const name = (e.getAttribute("aria-label") || e.title || e.textContent || [...(e.labels || [])].map(l => l.textContent).join(" ")).trim();
    if (!name) out.push("no name: " + e.outerHTML.slice(0, 80));
    const high = Math.max(...[e, ...(e.labels || [])].map(x => x.getBoundingClientRect().height)); // a label is pressed too
    const inSentence = e.tagName === "A" && e.closest("dd,p,li,td") && getComputedStyle(e).display === "inline";
    if (high < 24 && !inSentence) out.push("only " + Math.round(high) + " px high: " + name);
  }
  const numbers = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches && /dark/.test(getComputedStyle(document.documentElement).colorScheme) ? [18, 18, 18] : [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode());) {
    const e = n.parentElement;
    if (!n.textContent.trim() || ["STYLE", "SCRIPT"].includes(e.tagName) || !e.getClientRects().length) continue;
    const a = light(numbers(getComputedStyle(e).color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) out.push("contrast " + ratio.toFixed(2) + ": " + n.textContent.trim().slice(0, 40));
  }
  return out;
})()`
