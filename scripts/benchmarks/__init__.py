"""The benchmark program behind `./scripts/bench`: each part measures one thing, and all are judged by one table."""
