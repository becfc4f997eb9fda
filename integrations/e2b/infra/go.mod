module weft.example/integrations/e2b/infra

go 1.19

require (
	github.com/e2b-dev/infra/packages/orchestrator v0.0.0
	github.com/e2b-dev/infra/packages/shared v0.0.0
	weft.example/clients/go v0.0.0
	weft.example/integrations/e2b v0.0.0
)

// Tests use the stand-ins. A program that imports this module brings modules of its own.
replace (
	github.com/e2b-dev/infra/packages/orchestrator => ../standin/orchestrator
	github.com/e2b-dev/infra/packages/shared => ../standin/shared
	weft.example/clients/go => ../../../clients/go
	weft.example/integrations/e2b => ../../e2b
)
