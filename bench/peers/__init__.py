"""pyworker as it is shipped, beside other job systems at their fastest settings:
`make bench PEERS=1`.

Each system has one small program here (`shipped`, `pgmq_client`, `pgmq_plpgsql`, `pgqueuer_batch`,
`graphile.mjs`, `pgboss.mjs`) that speaks the protocol of `protocol`; `systems` lists them with
their settings, `turn` measures one of them, `comparison` takes turns and compares. What they need
is pinned in `requirements.txt` and `package.json`, and installed by the make target into `.peers`.
The programs of the peers run in that place's own Python: beside `protocol` they import nothing of
ours.
"""
