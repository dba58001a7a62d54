package stripeapi

import (
	"net/http"
	"strings"
)

// words are the texts of the hosted page in one language.
type words struct {
	Lang, Pay, Back, Card, Expiry, CVC, Email, Name, Summary, Promotion string
	Done, Expired, Complete, Fail, Challenge                            string
}

// languages are those that the demo's buyers speak; others get English.
var languages = map[string]words{
	"en": {
		"en", "Pay", "Back", "Card number", "Expiry (MM/YY)", "Security code (CVC)", "E-mail", "Name on card", "Order summary", "Promotion code",
		"This checkout is already paid.", "This checkout has expired. Go back to the shop and start again.",
		"Complete authentication", "Fail authentication", "Your bank wants to know that it is you",
	},
	"de": {
		"de", "Bezahlen", "Zurück", "Kartennummer", "Gültig bis (MM/JJ)", "Prüfziffer (CVC)", "E-Mail", "Name auf der Karte", "Bestellung", "Gutscheincode",
		"Dieser Kauf ist bereits bezahlt.", "Dieser Kauf ist abgelaufen. Bitte im Shop neu beginnen.",
		"Bestätigung abschließen", "Bestätigung ablehnen", "Ihre Bank möchte wissen, ob Sie es sind",
	},
	"es": {
		"es", "Pagar", "Volver", "Número de tarjeta", "Caducidad (MM/AA)", "Código de seguridad (CVC)", "Correo electrónico", "Nombre en la tarjeta", "Resumen del pedido", "Código promocional",
		"Esta compra ya está pagada.", "Esta compra ha caducado. Vuelva a la tienda y empiece de nuevo.",
		"Completar la autenticación", "Rechazar la autenticación", "Su banco quiere saber si es usted",
	},
	"fr": {
		"fr", "Payer", "Retour", "Numéro de carte", "Expiration (MM/AA)", "Code de sécurité (CVC)", "E-mail", "Nom sur la carte", "Récapitulatif", "Code promotionnel",
		"Cet achat est déjà payé.", "Cet achat a expiré. Retournez à la boutique et recommencez.",
		"Terminer l’authentification", "Refuser l’authentification", "Votre banque veut savoir si c’est bien vous",
	},
	"it": {
		"it", "Paga", "Indietro", "Numero di carta", "Scadenza (MM/AA)", "Codice di sicurezza (CVC)", "E-mail", "Nome sulla carta", "Riepilogo", "Codice promozionale",
		"Questo acquisto è già pagato.", "Questo acquisto è scaduto. Torna al negozio e ricomincia.",
		"Completa l’autenticazione", "Rifiuta l’autenticazione", "La tua banca vuole sapere se sei tu",
	},
}

// wordsFor takes the session's locale, else the browser's first known language.
func wordsFor(s *session, r *http.Request) words {
	wanted := []string{r.Header.Get("Accept-Language")}
	if s != nil {
		if l := s.form.get("locale"); l != "" && l != "auto" {
			wanted = []string{l}
		}
	}
	for _, tag := range strings.Split(wanted[0], ",") {
		lang, _, _ := strings.Cut(strings.TrimSpace(tag), ";")
		lang, _, _ = strings.Cut(lang, "-")
		if w, ok := languages[strings.ToLower(lang)]; ok {
			return w
		}
	}
	return languages["en"]
}
