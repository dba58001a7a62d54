package doctor

import (
	"encoding/json"
	"fmt"
	"io"
)

// Print writes the report for people: marks are words, so it reads without colours.
func (r Report) Print(w io.Writer) error {
	group := ""
	for _, f := range r.Findings {
		if f.Group != group {
			group = f.Group
			if _, err := fmt.Fprintf(w, "\n%s\n", group); err != nil {
				return err
			}
		}
		subject := f.Subject
		if subject != "" {
			subject += ": "
		}
		if _, err := fmt.Fprintf(w, "  %-4s  %s%s\n", f.Mark, subject, f.What); err != nil {
			return err
		}
		if f.Fix != "" {
			if _, err := fmt.Fprintf(w, "        -> %s\n", f.Fix); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%d findings, %d failures, %d warnings\n", len(r.Findings), r.Failures, r.Warnings)
	return err
}

// PrintJSON writes the report for programs.
func (r Report) PrintJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
