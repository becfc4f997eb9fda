// The reverse proxy of tools/bench door.
module weft.test/goproxy

go 1.19
