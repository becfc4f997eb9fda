module weft.example/integrations/e2b

go 1.19

require weft.example/clients/go v0.0.0

replace weft.example/clients/go => ../../clients/go
