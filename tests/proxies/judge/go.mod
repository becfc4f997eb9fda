// A transparent proxy for the tests, over the library that E2B's own firewall for TCP stands on.
module weft.test/judge

go 1.19

require github.com/inetaf/tcpproxy v0.0.0-20250222171855-c4b9df066048
