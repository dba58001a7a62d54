package house

import (
	"context"
	"fmt"
	"slices"

	"github.com/trifecta-pay/trifecta/config"
	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/settings"
	"github.com/trifecta-pay/trifecta/store"
)

// runtimeSettings makes what operators can change while the program runs. Each
// section belongs to the room that reads it.
func runtimeSettings(o Options, engine store.Engine) (*settings.Settings, *settings.Section[gateway.Pauses], error) {
	s, err := settings.New(settings.Options{Store: store.NewSettings(engine), Clock: o.Clock, Logger: o.Logger})
	if err != nil {
		return nil, nil, fmt.Errorf("wire the settings: %w", err)
	}
	pauses := settings.Add(s, settings.Definition[gateway.Pauses]{
		Name: gateway.PausesSection, Keys: gateway.PausesKeys(),
		Check: func(p gateway.Pauses) []payment.FieldError {
			return p.Check(func(account string) bool {
				return slices.ContainsFunc(o.Config.Accounts, func(a config.Account) bool { return a.Name == account })
			})
		},
	})
	return s, pauses, nil
}

// settingsDesk lets operators read and change settings.
type settingsDesk struct{ settings *settings.Settings }

func (d settingsDesk) ReadSettings(ctx context.Context) (settings.Document, error) {
	return d.settings.Current(ctx)
}

func (d settingsDesk) ChangeSettings(ctx context.Context, c gateway.Caller, r settings.Request) (settings.Document, error) {
	return d.settings.Put(ctx, c.Actor(), r)
}
