"""MOSIP's ABIS interface over a kiosk's store and gallery, or over its shards: insert, identify, delete and the rest.

Read `messages` (requests and answers, pure), `faces` (the pictures in a CBEFF record, pure), `engine` (what is done),
`share` (how MOSIP hands biometrics over), then `stomp_queue` (ActiveMQ). Imports device and below; loaded by `kiosk
abis` alone. Specification: MOSIP's ABIS API 0.9, docs.mosip.io/1.2.0, as published there.
"""
