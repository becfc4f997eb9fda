module weft.example/clients/go

go 1.19
