package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is one measured number. Floor is what the bare minimum took in this very
// run, Ratio the value over it; Bar is what the value (or, where ratio_bar is true,
// the ratio) has to reach, from below or above by the figure's nature.
type figure struct {
	Figure   string   `json:"figure"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit"`
	Floor    *float64 `json:"floor,omitempty"`
	Ratio    *float64 `json:"ratio,omitempty"`
	Bar      *float64 `json:"bar,omitempty"`
	RatioBar bool     `json:"ratio_bar,omitempty"`
	Met      *bool    `json:"met,omitempty"`
	Note     string   `json:"note,omitempty"`
}

func round(v float64) float64 {
	switch {
	case math.Abs(v) >= 100:
		return math.Round(v)
	case math.Abs(v) >= 1:
		return math.Round(v*100) / 100
	}
	return math.Round(v*10000) / 10000
}

// over adds a floor.
func (f figure) over(floor float64) figure {
	r := 0.0
	if floor > 0 {
		r = round(f.Value / floor)
	}
	floor = round(floor)
	f.Floor, f.Ratio = &floor, &r
	return f
}

// atMost and atLeast set the bar for the value, ratioAtLeast for the ratio.
func (f figure) atMost(bar float64) figure {
	met := f.Value <= bar
	f.Bar, f.Met = &bar, &met
	return f
}

func (f figure) ratioAtLeast(bar float64) figure {
	met := f.Ratio != nil && *f.Ratio >= bar
	f.Bar, f.Met, f.RatioBar = &bar, &met, true
	return f
}

func put(f figure) {
	f.Value = round(f.Value)
	line, err := json.Marshal(f)
	if err != nil { // only NaN and infinities can't be written
		line = []byte(fmt.Sprintf(`{"figure":%q,"note":"not a number"}`, f.Figure))
	}
	fmt.Println(string(line))
}

// say prints a remark among the figures.
func say(format string, args ...any) {
	line, err := json.Marshal(map[string]string{"note": fmt.Sprintf(format, args...)})
	if err == nil {
		fmt.Println(string(line))
	}
}

// progress tells a waiting human what is going on.
func (t *town) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(len(sorted)-1, int(q*float64(len(sorted))))
	return float64(sorted[i]) / float64(time.Millisecond)
}

func sorted(d []time.Duration) []time.Duration {
	out := slices.Clone(d)
	slices.Sort(out)
	return out
}

// machine describes where this ran.
func machine() string {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(info), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s; client, sandbox and gateway share them", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
