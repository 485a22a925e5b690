"""The product on a real instruct model: run by `make test-real`."""
