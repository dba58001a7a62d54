package house

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/trifecta-pay/trifecta/gateway/alerts"
	lookout "github.com/trifecta-pay/trifecta/gateway/alerts/watch"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// metrics are what the running product tells about itself. Labels come from
// short fixed lists, so that no caller can make them grow.
type metrics struct {
	registry  *prometheus.Registry
	calls     *prometheus.HistogramVec
	received  *prometheus.CounterVec
	processed *prometheus.HistogramVec
	steps     *prometheus.CounterVec
	lastStep  *prometheus.GaugeVec
	notices   *prometheus.CounterVec
	watch     *lookout.Watch // hears of the same things
	slice     *prometheus.GaugeVec
}

func newMetrics(w *lookout.Watch) *metrics {
	m := &metrics{
		watch:    w,
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trifecta_provider_request_seconds", Help: "Provider calls by account, operation and outcome class.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10},
		}, []string{"account", "op", "outcome"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trifecta_webhook_in_total", Help: "Webhooks received, by result.",
		}, []string{"provider", "result"}),
		processed: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trifecta_webhook_processed_seconds", Help: "Age of webhooks when they were worked on, by result.",
			Buckets: []float64{.1, 1, 10, 60, 600, 3600, 86400},
		}, []string{"provider", "result"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trifecta_worker_did_total", Help: "Work items done, by worker.",
		}, []string{"worker"}),
		lastStep: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trifecta_worker_last_success_timestamp_seconds", Help: "When a worker's step last ended without an error; a dead man's switch.",
		}, []string{"worker"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trifecta_alert_messages_total", Help: "Tries to bring alerts to people, by channel and result (" + strings.Join(alerts.Results(), ", ") + ").",
		}, []string{"channel", "result"}),
		slice: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trifecta_rate_slice_calls_per_second", Help: "This process's part of an account's rate budget; all processes' together stay below the budget.",
		}, []string{"account"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.calls, m.received, m.processed, m.steps, m.lastStep, m.notices, m.slice)
	return m
}

// provider observes the calls of one account.
func (m *metrics) provider(account string) func(string, providers.Class, time.Duration) {
	return func(op string, class providers.Class, took time.Duration) {
		m.calls.WithLabelValues(account, op, string(class)).Observe(took.Seconds())
		m.watch.Observe(account, op, string(class))
	}
}

func (m *metrics) inbox() inbox.Metrics {
	return inbox.Metrics{
		Forged:   m.watch.Forged,
		Received: func(provider, result string) { m.received.WithLabelValues(provider, result).Inc() },
		Processed: func(provider, result string, age time.Duration) {
			m.processed.WithLabelValues(provider, result).Observe(age.Seconds())
		},
	}
}

// stepped counts what a worker did.
func (m *metrics) stepped(worker string, did int, now time.Time) {
	m.steps.WithLabelValues(worker).Add(float64(did))
	m.lastStep.WithLabelValues(worker).Set(float64(now.Unix()))
}

// alertSent counts tries to bring alerts to people.
func (m *metrics) alertSent(channel, result string) {
	m.notices.WithLabelValues(channel, result).Inc()
}

// shared tells how much of each account's rate budget is this process's.
func (m *metrics) shared(accounts []*providers.Account) {
	for _, a := range accounts {
		m.slice.WithLabelValues(a.Info().Account).Set(float64(a.PerSecondMilli()) / 1000)
	}
}
