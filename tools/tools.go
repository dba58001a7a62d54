// Package tools holds no code: its go.mod pins the development tools (linter
// and formatter) as tool directives, in a module of its own so that their many
// dependencies never reach the product's go.mod.
//
//	go tool -modfile=tools/go.mod golangci-lint run ./...
package tools
