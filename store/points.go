package store

import "context"

// WritePoint names one durable write in the program ("lease.acquire"). Crash tests stop the program before and after
// each of them, so a new write needs a new name in WritePoints.
type WritePoint string

type pointKey struct{}

// WithPoint names the writes made with the returned context. The code that knows why it writes calls it right where it
// calls the Engine, Update or InsertOnce; an inner name replaces an outer one.
func WithPoint(ctx context.Context, p WritePoint) context.Context {
	return context.WithValue(ctx, pointKey{}, p)
}

// PointOf returns the name given by WithPoint, or "". Engines ignore it; store/faults refuses a write without one.
func PointOf(ctx context.Context) WritePoint {
	p, _ := ctx.Value(pointKey{}).(WritePoint)
	return p
}
