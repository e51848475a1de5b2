"""A gallery larger than one process or machine: shards that hold a part each, asked all at once over NATS.

Read `wire` first (what is said, and how it is sealed), then `shard` (who answers), `front` (who asks). nats-py, the
extra `fleet`, is imported where it is used. Beside the API in the rows: imports device and below.
"""
