package httpapi

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// texts are the words of the customers' pages in one language. %s is a name.
type texts struct {
	PayTo, Reference, Description, Choose, PayWith, Leaves, TestMode string
	Declined, Unavailable, NoWay, Busy                               string
	PaidTitle, Paid, CheckingTitle, Checking                         string
	ExpiredTitle, Expired, CanceledTitle, Canceled                   string
	FailedTitle, Failed, DoneTitle, Done                             string
	NotFoundTitle, NotFound, ErrorTitle, Error                       string
	Back, Continue                                                   string
}

// languages are the locales of the customers' pages; en stands in for all others.
var languages = map[string]texts{
	"en": {
		PayTo: "Payment to %s", Reference: "Reference", Description: "Description", Choose: "Choose how to pay", PayWith: "Pay with %s",
		Leaves:      "You will continue on the secure page of the payment provider.",
		TestMode:    "Test mode: no real money moves.",
		Declined:    "The last attempt was declined. Please try again or choose another way to pay.",
		Unavailable: "The payment provider could not be reached. You have not been charged. Please try again in a moment.",
		NoWay:       "No way to pay is available for this payment. Please contact the shop.",
		Busy:        "Another step of this payment is still running. Please try again in a moment.",
		PaidTitle:   "Payment received", Paid: "Thank you. There is nothing left to do here.",
		CheckingTitle: "We are checking your payment", Checking: "This can take a few minutes. Please do not pay again.",
		ExpiredTitle: "The time to pay is over", Expired: "You have not been charged. Please start again in the shop.",
		CanceledTitle: "This payment was canceled", Canceled: "It can't be paid any more.",
		FailedTitle: "The payment failed", Failed: "You have not been charged. Please start again in the shop.",
		DoneTitle: "You can close this page", Done: "The shop will show you how your order is going on.",
		NotFoundTitle: "This link is not valid", NotFound: "Please go back to the shop and start again.",
		ErrorTitle: "Something went wrong", Error: "You can safely load this page again. We never charge twice for the same payment.",
		Back: "Return to %s", Continue: "Continue",
	},
	"de": {
		PayTo: "Zahlung an %s", Reference: "Referenz", Description: "Beschreibung", Choose: "Zahlungsart wählen", PayWith: "Mit %s bezahlen",
		Leaves:      "Es geht auf der sicheren Seite des Zahlungsanbieters weiter.",
		TestMode:    "Testmodus: Es fließt kein echtes Geld.",
		Declined:    "Der letzte Versuch wurde abgelehnt. Bitte versuchen Sie es erneut oder wählen Sie eine andere Zahlungsart.",
		Unavailable: "Der Zahlungsanbieter ist gerade nicht erreichbar. Es wurde nichts abgebucht. Bitte versuchen Sie es gleich noch einmal.",
		NoWay:       "Für diese Zahlung steht keine Zahlungsart bereit. Bitte wenden Sie sich an den Shop.",
		Busy:        "Ein anderer Schritt dieser Zahlung läuft noch. Bitte versuchen Sie es gleich noch einmal.",
		PaidTitle:   "Zahlung erhalten", Paid: "Vielen Dank. Hier ist nichts weiter zu tun.",
		CheckingTitle: "Wir prüfen Ihre Zahlung", Checking: "Das kann einige Minuten dauern. Bitte zahlen Sie nicht noch einmal.",
		ExpiredTitle: "Die Zeit zum Bezahlen ist abgelaufen", Expired: "Es wurde nichts abgebucht. Bitte beginnen Sie im Shop von vorn.",
		CanceledTitle: "Diese Zahlung wurde abgebrochen", Canceled: "Sie kann nicht mehr bezahlt werden.",
		FailedTitle: "Die Zahlung ist fehlgeschlagen", Failed: "Es wurde nichts abgebucht. Bitte beginnen Sie im Shop von vorn.",
		DoneTitle: "Sie können diese Seite schließen", Done: "Der Shop zeigt Ihnen, wie es mit Ihrer Bestellung weitergeht.",
		NotFoundTitle: "Dieser Link ist nicht gültig", NotFound: "Bitte gehen Sie zurück zum Shop und beginnen Sie von vorn.",
		ErrorTitle: "Etwas ist schiefgegangen", Error: "Sie können diese Seite gefahrlos neu laden. Wir buchen für eine Zahlung niemals zweimal ab.",
		Back: "Zurück zu %s", Continue: "Weiter",
	},
	"es": {
		PayTo: "Pago a %s", Reference: "Referencia", Description: "Descripción", Choose: "Elija cómo pagar", PayWith: "Pagar con %s",
		Leaves:      "Continuará en la página segura del proveedor de pagos.",
		TestMode:    "Modo de prueba: no se mueve dinero real.",
		Declined:    "El último intento fue rechazado. Inténtelo de nuevo o elija otra forma de pago.",
		Unavailable: "No se ha podido contactar con el proveedor de pagos. No se le ha cobrado nada. Inténtelo de nuevo en un momento.",
		NoWay:       "No hay ninguna forma de pago disponible para este pago. Póngase en contacto con la tienda.",
		Busy:        "Otro paso de este pago sigue en curso. Inténtelo de nuevo en un momento.",
		PaidTitle:   "Pago recibido", Paid: "Gracias. No tiene que hacer nada más aquí.",
		CheckingTitle: "Estamos comprobando su pago", Checking: "Puede tardar unos minutos. No vuelva a pagar, por favor.",
		ExpiredTitle: "El plazo para pagar ha terminado", Expired: "No se le ha cobrado nada. Vuelva a empezar en la tienda.",
		CanceledTitle: "Este pago se ha cancelado", Canceled: "Ya no se puede pagar.",
		FailedTitle: "El pago ha fallado", Failed: "No se le ha cobrado nada. Vuelva a empezar en la tienda.",
		DoneTitle: "Puede cerrar esta página", Done: "La tienda le mostrará cómo sigue su pedido.",
		NotFoundTitle: "Este enlace no es válido", NotFound: "Vuelva a la tienda y empiece de nuevo.",
		ErrorTitle: "Algo ha salido mal", Error: "Puede volver a cargar esta página sin riesgo. Nunca cobramos dos veces el mismo pago.",
		Back: "Volver a %s", Continue: "Continuar",
	},
	"fr": {
		PayTo: "Paiement à %s", Reference: "Référence", Description: "Description", Choose: "Choisissez un moyen de paiement", PayWith: "Payer avec %s",
		Leaves:      "Vous continuerez sur la page sécurisée du prestataire de paiement.",
		TestMode:    "Mode test : aucun argent réel n’est déplacé.",
		Declined:    "La dernière tentative a été refusée. Réessayez ou choisissez un autre moyen de paiement.",
		Unavailable: "Le prestataire de paiement n’est pas joignable. Vous n’avez pas été débité. Réessayez dans un instant.",
		NoWay:       "Aucun moyen de paiement n’est disponible pour ce paiement. Veuillez contacter la boutique.",
		Busy:        "Une autre étape de ce paiement est encore en cours. Réessayez dans un instant.",
		PaidTitle:   "Paiement reçu", Paid: "Merci. Vous n’avez plus rien à faire ici.",
		CheckingTitle: "Nous vérifions votre paiement", Checking: "Cela peut prendre quelques minutes. Merci de ne pas payer à nouveau.",
		ExpiredTitle: "Le délai de paiement est écoulé", Expired: "Vous n’avez pas été débité. Veuillez recommencer dans la boutique.",
		CanceledTitle: "Ce paiement a été annulé", Canceled: "Il ne peut plus être réglé.",
		FailedTitle: "Le paiement a échoué", Failed: "Vous n’avez pas été débité. Veuillez recommencer dans la boutique.",
		DoneTitle: "Vous pouvez fermer cette page", Done: "La boutique vous indiquera la suite de votre commande.",
		NotFoundTitle: "Ce lien n’est pas valide", NotFound: "Veuillez revenir à la boutique et recommencer.",
		ErrorTitle: "Un problème est survenu", Error: "Vous pouvez recharger cette page sans risque. Nous ne débitons jamais deux fois le même paiement.",
		Back: "Retour à %s", Continue: "Continuer",
	},
	"it": {
		PayTo: "Pagamento a %s", Reference: "Riferimento", Description: "Descrizione", Choose: "Scegli come pagare", PayWith: "Paga con %s",
		Leaves:      "Proseguirai sulla pagina sicura del fornitore di pagamenti.",
		TestMode:    "Modalità di prova: non si muove denaro reale.",
		Declined:    "L’ultimo tentativo è stato rifiutato. Riprova o scegli un altro metodo di pagamento.",
		Unavailable: "Il fornitore di pagamenti non è raggiungibile. Non ti è stato addebitato nulla. Riprova tra poco.",
		NoWay:       "Nessun metodo di pagamento è disponibile per questo pagamento. Contatta il negozio.",
		Busy:        "Un altro passaggio di questo pagamento è ancora in corso. Riprova tra poco.",
		PaidTitle:   "Pagamento ricevuto", Paid: "Grazie. Qui non c’è altro da fare.",
		CheckingTitle: "Stiamo verificando il pagamento", Checking: "Può richiedere qualche minuto. Per favore, non pagare di nuovo.",
		ExpiredTitle: "Il tempo per pagare è scaduto", Expired: "Non ti è stato addebitato nulla. Ricomincia dal negozio.",
		CanceledTitle: "Questo pagamento è stato annullato", Canceled: "Non può più essere pagato.",
		FailedTitle: "Il pagamento non è riuscito", Failed: "Non ti è stato addebitato nulla. Ricomincia dal negozio.",
		DoneTitle: "Puoi chiudere questa pagina", Done: "Il negozio ti mostrerà come prosegue il tuo ordine.",
		NotFoundTitle: "Questo link non è valido", NotFound: "Torna al negozio e ricomincia.",
		ErrorTitle: "Qualcosa è andato storto", Error: "Puoi ricaricare questa pagina senza rischi. Non addebitiamo mai due volte lo stesso pagamento.",
		Back: "Torna a %s", Continue: "Continua",
	},
	"ko": {
		PayTo: "%s 결제", Reference: "주문 번호", Description: "설명", Choose: "결제 방법 선택", PayWith: "%s(으)로 결제",
		Leaves:      "결제 서비스의 안전한 페이지에서 계속됩니다.",
		TestMode:    "테스트 모드: 실제 금액이 결제되지 않습니다.",
		Declined:    "마지막 결제 시도가 거절되었습니다. 다시 시도하거나 다른 결제 방법을 선택해 주세요.",
		Unavailable: "결제 서비스에 연결할 수 없습니다. 청구된 금액은 없습니다. 잠시 후 다시 시도해 주세요.",
		NoWay:       "이 결제에 사용할 수 있는 결제 방법이 없습니다. 상점에 문의해 주세요.",
		Busy:        "이 결제의 다른 단계가 아직 진행 중입니다. 잠시 후 다시 시도해 주세요.",
		PaidTitle:   "결제가 완료되었습니다", Paid: "감사합니다. 여기서 더 하실 일은 없습니다.",
		CheckingTitle: "결제를 확인하고 있습니다", Checking: "몇 분 정도 걸릴 수 있습니다. 다시 결제하지 마세요.",
		ExpiredTitle: "결제 시간이 지났습니다", Expired: "청구된 금액은 없습니다. 상점에서 다시 시작해 주세요.",
		CanceledTitle: "이 결제는 취소되었습니다", Canceled: "더 이상 결제할 수 없습니다.",
		FailedTitle: "결제에 실패했습니다", Failed: "청구된 금액은 없습니다. 상점에서 다시 시작해 주세요.",
		DoneTitle: "이 페이지를 닫으셔도 됩니다", Done: "주문 진행 상황은 상점에서 확인하실 수 있습니다.",
		NotFoundTitle: "유효하지 않은 링크입니다", NotFound: "상점으로 돌아가 다시 시작해 주세요.",
		ErrorTitle: "문제가 발생했습니다", Error: "이 페이지를 다시 불러와도 안전합니다. 같은 결제를 두 번 청구하지 않습니다.",
		Back: "%s(으)로 돌아가기", Continue: "계속",
	},
}

// language chooses a page's language: the payment's own locale, else what the
// browser asks for, else English.
func language(locale, accept string) string {
	if lang := base(locale); lang != "" {
		return lang
	}
	type wish struct {
		lang   string
		weight int // thousandths
	}
	var wishes []wish
	for i, part := range strings.Split(accept, ",") {
		tag, params, _ := strings.Cut(part, ";")
		if lang := base(strings.TrimSpace(tag)); lang != "" && i < 20 {
			wishes = append(wishes, wish{lang, quality(params)})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(b.weight, a.weight) })
	if len(wishes) > 0 && wishes[0].weight > 0 {
		return wishes[0].lang
	}
	return "en"
}

// base is the language of a tag such as de-AT, if we speak it.
func base(tag string) string {
	lang, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	if _, ok := languages[lang]; ok {
		return lang
	}
	return ""
}

// quality reads "q=0.8" as 800; anything unreadable counts fully, as if absent.
func quality(params string) int {
	v, ok := strings.CutPrefix(strings.TrimSpace(params), "q=")
	if !ok {
		return 1000
	}
	whole, fraction, _ := strings.Cut(v, ".")
	fraction = (fraction + "000")[:3]
	n, err := strconv.Atoi(whole + fraction)
	if err != nil || n < 0 || n > 1000 {
		return 1000
	}
	return n
}
