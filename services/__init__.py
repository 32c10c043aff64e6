"""The five services. They talk only over the bus; none imports another (import-linter checks)."""
