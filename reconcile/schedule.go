package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-co-op/gocron/v2"
)

// Schedule calls steps in real time. It holds no rule of its own: what is due, and
// that it is done once, is the steps' own business.
type Schedule struct {
	cron gocron.Scheduler
}

// NewSchedule plans steps; Start starts them. A step that still runs when its next
// time comes is left alone and comes again later. stop is how long Stop waits.
func NewSchedule(steps []Step, log *slog.Logger, stop time.Duration) (*Schedule, error) {
	cron, err := gocron.NewScheduler(gocron.WithLogger(log), gocron.WithStopTimeout(stop), gocron.WithLocation(time.UTC))
	if err != nil {
		return nil, fmt.Errorf("reconcile: make the scheduler: %w", err)
	}
	listeners := listen(log, gocron.AfterJobRunsWithError, gocron.AfterJobRunsWithPanic)
	for _, s := range steps {
		_, err := cron.NewJob(gocron.DurationJob(s.Every),
			gocron.NewTask(func(ctx context.Context) error { _, _, err := s.Step(ctx); return err }),
			gocron.WithName(s.Name),
			gocron.WithSingletonMode(gocron.LimitModeReschedule),
			gocron.WithStartAt(gocron.WithStartImmediately()),
			gocron.WithEventListeners(listeners...),
		)
		if err != nil {
			return nil, fmt.Errorf("reconcile: plan %s: %w", s.Name, err)
		}
	}
	return &Schedule{cron: cron}, nil
}

// Start starts calling. It returns at once.
func (s *Schedule) Start() { s.cron.Start() }

// Stop ends the contexts of running steps and waits until they have returned.
func (s *Schedule) Stop() error {
	if err := s.cron.Shutdown(); err != nil {
		return fmt.Errorf("reconcile: stop the scheduler: %w", err)
	}
	return nil
}

// listen makes the listeners that log what a step did wrong. ID is the scheduler's
// own type for a job's id.
func listen[ID any](log *slog.Logger, onError func(func(ID, string, error)) gocron.EventListener, onPanic func(func(ID, string, any)) gocron.EventListener) []gocron.EventListener {
	return []gocron.EventListener{
		onError(func(_ ID, name string, err error) {
			log.Warn("step failed, will be repeated", "step", name, "error", err)
		}),
		onPanic(func(_ ID, name string, v any) {
			log.Error("step panicked, will be repeated", "step", name, "panic", fmt.Sprint(v))
		}),
	}
}
