package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows how far a long command is: on a terminal one line that is written
// over, elsewhere a line now and then.
type progress struct {
	out      io.Writer
	now      func() time.Time
	terminal bool
	every    time.Duration
	stage    string
	begun    time.Time
	from     int64
	last     time.Time
	done     int64
	dirty    bool // the terminal's line has not been ended
}

func newProgress(out io.Writer, now func() time.Time) *progress {
	p := &progress{out: out, now: now, every: 5 * time.Second}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if p.terminal {
		p.every = 100 * time.Millisecond
	}
	return p
}

// show is called for each step; done counts up to total within a stage.
func (p *progress) show(stage, what string, done, total int64) {
	now := p.now()
	first := stage != p.stage
	if first {
		p.stage, p.begun, p.from = stage, now, done
	}
	if !first && (done == p.done || done < total && now.Sub(p.last) < p.every) {
		return
	}
	p.last, p.done = now, done
	line := fmt.Sprintf("%-10s %s %d of %d", stage, barOf(done, total), done, total)
	if took := now.Sub(p.begun); took > time.Second && done > p.from {
		rate := (done - p.from) * int64(time.Second) / int64(took)
		line += fmt.Sprintf("  %d/s", rate)
		if rate > 0 && total > done {
			line += fmt.Sprintf("  %s left", time.Duration((total-done)/rate+1)*time.Second)
		}
	}
	line += "  " + what
	if p.terminal {
		_, _ = fmt.Fprintf(p.out, "\r%-90s", line) // a lost progress line is no lost work
		p.dirty = true
		return
	}
	_, _ = fmt.Fprintln(p.out, line)
}

// end leaves the cursor on a fresh line.
func (p *progress) end() {
	if p.dirty {
		_, _ = fmt.Fprintln(p.out)
		p.dirty = false
	}
}

const barWidth = 20

func barOf(done, total int64) string {
	full := 0
	if total > 0 {
		full = int(min(done, total) * barWidth / total)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}
