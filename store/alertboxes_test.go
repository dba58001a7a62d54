package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/alerts"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

// Guards the stored forms of alerts and of channels' queues, and that those from before they had all of it still read.
func TestAlertStoredForms(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	s := store.NewAlerts(e)
	var a gateway.AlertRecord
	fill(t, reflect.ValueOf(&a).Elem(), "a")
	raise(t, s, a)
	d, err := e.Get(t.Context(), "alerts", a.ID)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/alert_v1.json", d.Body)
	var box alerts.Box
	item := alerts.Item{Digest: &alerts.Digest{}}
	fill(t, reflect.ValueOf(item.Digest).Elem(), "digest")
	for _, f := range []any{&box.Digest, &box.Kept, &box.Windows, &box.Recent, &box.DownSince, &box.NextTry, &box.LastError, &box.Owner, &box.Sending, &box.Until, &item.ID, &item.Failover, &item.Done, &item.Unknown} {
		fill(t, reflect.ValueOf(f).Elem(), "b")
	}
	box.Channel, box.Failures, item.Alert, item.Kind, item.Severity, item.Reason, item.At, item.NextTry, item.Tries, item.HandedOver = "ops", 3, "inc", "k", "critical", "new", now, now, 2, true
	box.Items = []alerts.Item{item}
	if err := s.ChangeBox(t.Context(), "ops", func(b *alerts.Box) bool { *b = box; return true }); err != nil {
		t.Fatal(err)
	}
	if d, err = e.Get(t.Context(), "alert_boxes", "box/ops"); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/alertbox_v1.json", d.Body)
	got, err := s.Box(t.Context(), "ops")
	if diff := cmp.Diff(box, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	before := `{"schema":1,"box":{"Channel":"old","Items":[{"ID":"ntc_1","Alert":"inc_old","Kind":"late_money","Severity":"critical","Reason":"new","At":"2026-05-04T12:00:00Z","Tries":1,` +
		`"NextTry":"0001-01-01T00:00:00Z","Failover":null,"HandedOver":false}],"Failures":1}}`
	if err := e.Insert(named(t), "alert_boxes", store.Doc{ID: "box/old", Body: []byte(before)}); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Box(t.Context(), "old"); err != nil || len(b.Items) != 1 || b.Items[0].ID != "ntc_1" || b.Items[0].Done != nil || b.Items[0].Unknown != 0 {
		t.Errorf("a queue from before it noted who has what: %v, %+v", err, b)
	}
	old := `{"schema":1,"alert":{"ID":"inc_old","App":"shop","Mode":"test","Payment":"pay_1","Kind":"late_money","Severity":"critical","State":"open","Message":"m","Count":2,` +
		`"FirstSeen":"2026-05-04T12:00:00Z","LastSeen":"2026-05-04T12:00:00Z","SnoozedUntil":"0001-01-01T00:00:00Z"}}`
	if err := e.Insert(named(t), "alerts", store.Doc{ID: "inc_old", Body: []byte(old)}); err != nil {
		t.Fatal(err)
	}
	if was := getAlert(t, s, "inc_old"); was.Count != 2 || !was.TellAt.IsZero() || !was.OpenedAt().Equal(was.FirstSeen) {
		t.Errorf("an old record reads as %+v", was)
	}
}

// Guards a channel's queue: an unknown one is empty, changes by several at once are all there, what is not to be written
// is not, and a lost acknowledgement does not write twice.
func TestAlertBoxes(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewAlerts(e)
		if b, err := s.Box(t.Context(), "ops"); err != nil || b.Channel != "ops" || len(b.Items) != 0 {
			t.Errorf("%v, %+v", err, b)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := s.ChangeBox(t.Context(), "ops", func(b *alerts.Box) bool { b.Failures++; return true }); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := s.ChangeBox(t.Context(), "ops", func(b *alerts.Box) bool { b.Failures = 99; return false }); err != nil {
			t.Error(err)
		}
		if b, err := s.Box(t.Context(), "ops"); err != nil || b.Failures != 8 {
			t.Errorf("%v, %d changes", err, b.Failures)
		}
		var lost int
		if err := store.NewAlerts(lossy(e, store.PointAlertBox, faults.After, &lost)).ChangeBox(t.Context(), "ops", func(b *alerts.Box) bool { b.Failures++; return true }); err != nil || lost == 0 {
			t.Errorf("lost acknowledgement: %v, %d", err, lost)
		}
		if b, err := s.Box(t.Context(), "ops"); err != nil || b.Failures != 9 {
			t.Errorf("%v, %d changes", err, b.Failures)
		}
		if err := e.Insert(named(t), "alert_boxes", store.Doc{ID: "box/bad", Body: []byte(`{"box":1}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Box(t.Context(), "bad"); err == nil {
			t.Error("garbage was read as a queue")
		}
		if err := s.ChangeBox(t.Context(), "bad", func(*alerts.Box) bool { return true }); err == nil || errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("garbage was changed: %v", err)
		}
	})
}

// Guards what waits for a channel that is configured no more: its queue is found, and one that can't be read is named and
// hides no other.
func TestAllAlertBoxes(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewAlerts(e)
		for i := range store.DefaultLimit + 2 { // more than one page
			if err := s.ChangeBox(t.Context(), fmt.Sprintf("ops%03d", i), func(b *alerts.Box) bool { b.Failures = i; return true }); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Insert(named(t), "alert_boxes", store.Doc{ID: "box/ops050a", Body: []byte(`{"schema":1,"box":{"Failures":"x"}}`)}); err != nil {
			t.Fatal(err)
		}
		all, err := s.Boxes(t.Context())
		if err == nil || !strings.Contains(err.Error(), "ops050a") || len(all) != store.DefaultLimit+2 {
			t.Fatalf("%d boxes, %v", len(all), err)
		}
		for i, b := range all {
			if b.Failures != i || b.Channel != fmt.Sprintf("ops%03d", i) {
				t.Fatalf("box %d: %+v", i, b)
			}
		}
	})
}
