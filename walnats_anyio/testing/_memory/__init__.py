"""A NATS server with JetStream as a pure state machine: bytes in, bytes out, time given.

Theory of operation. An `Engine` is told three things: that a client connected or went, which bytes
a client sent, and what time it is. It answers with bytes for clients. It has no clock, no tasks and
no randomness of its own: what happens later is a timer in a heap, which `advance` runs when the
time has come. So a run with the same inputs gives the same outputs, whatever the event loop.

| file | what lives there |
| --- | --- |
| `_engine.py` | clients, what they say, the core of NATS: who gets what is published |
| `_jetstream.py` | the streams of the server, what is captured, its API |
| `_stream.py`, `_store.py` | one stream: what it accepts and what it keeps |
| `_consumer.py` | one consumer: pull requests, deliveries, acknowledgements |
| `_progress.py` | how far a consumer is, as it is written down and shown |
| `_stream_config.py`, `_consumer_config.py` | which configurations the server takes |
| `_faults.py` | what goes wrong on purpose |
| `_server.py`, `_connection.py` | the edge: `MemoryServer`, and the byte streams of its clients |
"""
