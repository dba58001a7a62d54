package alerts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Guards quiet hours over midnight, by day, at their edges and where clocks change.
func TestQuietUntil(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	night, day, gap := Quiet{22 * 60, 7 * 60, berlin}, Quiet{12 * 60, 13 * 60, berlin}, Quiet{60, 2*60 + 30, berlin}
	at := func(s string) time.Time {
		t, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			panic(err)
		}
		return t
	}
	for _, c := range []struct {
		q         Quiet
		now, want string
	}{
		{night, "2026-05-04 21:59", ""},
		{night, "2026-05-04 22:00", "2026-05-05 07:00"},
		{night, "2026-05-05 06:59", "2026-05-05 07:00"},
		{night, "2026-05-05 07:00", ""},
		{night, "2026-12-31 23:30", "2027-01-01 07:00"},
		{night, "2026-03-28 23:00", "2026-03-29 07:00"}, // the hour 2 to 3 is skipped
		{night, "2026-10-24 23:00", "2026-10-25 07:00"}, // and repeated
		{day, "2026-05-04 11:59", ""},
		{day, "2026-05-04 12:30", "2026-05-04 13:00"},
		{gap, "2026-03-29 01:30", "2026-03-29 03:30"}, // 2:30 is not there that day
		{Quiet{}, "2026-05-04 03:00", ""},
		{Quiet{60, 60, berlin}, "2026-05-04 01:00", ""},
	} {
		end, ok := c.q.until(at(c.now))
		if ok != (c.want != "") || ok && !end.Equal(at(c.want)) {
			t.Errorf("%v at %s: %v %v, want %q", c.q, c.now, end, ok, c.want)
		}
	}
}

// Guards that no alert is lost or doubled in a channel's queue, whatever comes in which order: what was taken is what
// was sent, alone or in digests, plus what still waits; and what stands in has each at most once.
func TestBoxLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
		rules := Rules{Burst: 3}.withDefaults()
		main, other := Box{Channel: "main"}, Box{Channel: "other"}
		taken, sent, n := int64(0), int64(0), 0
		weigh := func(it Item) int64 {
			if it.Digest != nil {
				return it.Digest.count()
			}
			return 1
		}
		left := func(b *Box) int64 {
			sum := b.Digest.count() + b.Kept.count()
			for _, it := range b.Items {
				sum += weigh(it)
			}
			return sum
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				for range rapid.IntRange(1, 80).Draw(t, "n") {
					n++
					taken++
					no := Notice{ID: fmt.Sprint(n), Alert: fmt.Sprint("a", n), Kind: fmt.Sprint("k", n%rapid.IntRange(1, 100).Draw(t, "kinds")), Severity: Warning, Failover: []string{"other"}, At: now}
					main.Take(no, rules, now)
					main.Take(no, rules, now) // told twice, taken once
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "s")) * time.Second)
			},
			"send": func(t *rapid.T) {
				it, ok := main.Claim("o", now)
				if !ok {
					return
				}
				switch rapid.SampledFrom([]string{"sent", "failed", "refused", "crashed"}).Draw(t, "how") {
				case "sent":
					sent += weigh(it)
					main.Sent("o", it.ID)
				case "failed":
					main.Failed("o", it.ID, Failure{Cause: errors.New("x")}, now)
				case "refused":
					if main.Failed("o", it.ID, Failure{Permanent: true, Cause: errors.New("x")}, now) {
						sent += weigh(it) // given up on purpose, after a week
					}
				}
			},
			"handover": func(t *rapid.T) {
				var ids []string
				for _, it := range main.Handover(now) {
					ids = append(ids, it.ID)
					other.standIn("main", it, rules, now)
					other.standIn("main", it, rules, now)
				}
				main.HandedOver(ids)
			},
			"": func(t *rapid.T) {
				if got := sent + left(&main); got != taken {
					t.Fatalf("took %d, sent %d, %d left", taken, sent, left(&main))
				}
				if got := left(&other); got > taken {
					t.Fatalf("%d alerts, the one that stands in has %d", taken, got)
				}
				if len(main.Items) > 2*maxItems+1 || len(main.Recent) > maxRecent || len(main.Digest.Tallies) > maxTallies+3 || len(main.Windows) > maxWindows {
					t.Fatalf("grew: %d items, %d ids, %d tallies, %d windows", len(main.Items), len(main.Recent), len(main.Digest.Tallies), len(main.Windows))
				}
			},
		})
	})
}

// Guards the published table: the page is what the program says, and every kind says what to do about it.
func TestKindsTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), KindsTable()) {
		t.Errorf("docs/alerts.md does not hold the table as it is now:\n%s", KindsTable())
	}
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Name] || k.Title == "" || k.Means == "" || k.Do == "" || len(k.Title) > 80 || strings.ContainsAny(k.Title, "<>|\r\n") {
			t.Errorf("kind %+v", k)
		}
		seen[k.Name] = true
	}
}

// Guards that nothing is raised that the published table does not explain: every kind that stands in the program.
func TestRaisedKindsAreListed(t *testing.T) {
	t.Parallel()
	patterns := []*regexp.Regexp{
		regexp.MustCompile(`Kind:\s*"([a-z_]+)",\s*Severity`), regexp.MustCompile(`a\.Kind(?:, a\.Severity)?(?:, a\.Payment)? = "([a-z_]+)"`),
		regexp.MustCompile(`w\.set\(ctx, a, "([a-z_]+)"`), regexp.MustCompile(`\bset\("([a-z_]+)", `), regexp.MustCompile(`\tKind[A-Z][a-z]+\s+= "([a-z_]+)" //`),
	}
	found := map[string]bool{}
	for _, root := range []string{"..", "../../reconcile", "../../webhooks", "../../cmd/trifecta"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == "../alerts" {
				return err
			}
			text, err := os.ReadFile(path)
			for _, p := range patterns {
				for _, m := range p.FindAllStringSubmatch(string(text), -1) {
					found[m[1]] = true
					if KindOf(m[1]).Title == "Alert of kind "+m[1] {
						t.Errorf("%s: the kind %s is not in the table", path, m[1])
					}
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"conflicted_payment", "operation_stuck", "late_money", "webhook_dead", "orphan_money", "sweep_failing", "provider_outage", "provider_mismatch", "dispute_opened"} {
		if !found[k] {
			t.Errorf("the search does not find %s any more", k)
		}
	}
}

// A channel that works again sends what it kept, also if the process died right
// after the first message that got through: what is kept is due, not never.
func TestKeptIsDueOnceTheChannelWorks(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := Box{
		Channel: "mail", Items: []Item{{ID: "ntc_1", Kind: "sweep_failing", Severity: Critical, At: now.Add(-time.Hour)}},
		Kept: Digest{Since: now.Add(-time.Hour), Tallies: []Tally{{Kind: "late_money", Severity: Critical, Count: 2, First: now.Add(-time.Hour), Last: now, Samples: []string{"inc_1"}}}},
	}
	if at := b.Next(); at.IsZero() || at.After(now) {
		t.Fatalf("next is %s, want by %s", at, now)
	}
	for range 2 {
		it, ok := b.Claim("owner", now)
		if !ok {
			t.Fatalf("nothing to send: %+v", b)
		}
		b.Sent("owner", it.ID)
	}
	if len(b.Items)+len(b.Kept.Tallies) > 0 || !b.Next().IsZero() {
		t.Errorf("left: %+v", b)
	}
}
