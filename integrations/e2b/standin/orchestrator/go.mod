module github.com/e2b-dev/infra/packages/orchestrator

go 1.19

require github.com/e2b-dev/infra/packages/shared v0.0.0

replace github.com/e2b-dev/infra/packages/shared => ../shared
