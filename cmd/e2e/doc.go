// Package e2e drives the whole house over real HTTP: the gateway as it is wired
// for production, on SQLite or the engine that store/storetest is told, against the sandbox. It holds tests only, and it
// knows no more of the rooms than an app, a customer and an operator do.
package e2e
