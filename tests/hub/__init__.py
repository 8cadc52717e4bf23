"""A Hub on the loopback address that speaks the protocol of the real client: `server` answers, `reading` and `writing` say what."""
