"""HTTP services that programs talk to: a bounded server, and refusals in one sentence."""
