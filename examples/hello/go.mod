module example.com/hello

go 1.21

require rsc.io/quote v1.5.2

require (
	golang.org/x/text v0.3.0 // indirect
	rsc.io/sampler v1.3.0 // indirect
)
