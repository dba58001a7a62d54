package httpapi

import (
	"context"
	"testing"
)

// Promise: the document we serve is a valid OpenAPI document.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
}
