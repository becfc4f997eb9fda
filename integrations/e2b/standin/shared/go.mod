module github.com/e2b-dev/infra/packages/shared

go 1.19
