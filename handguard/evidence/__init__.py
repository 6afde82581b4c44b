"""What happened, kept so that it can be proved later.

The room keeps two kinds of paper.

**The book** (`segment-000001.jsonl` …) is written while the machine runs. Every
judged frame, event, operator action and fault is one line; each line carries
the hash of everything before it (`chain`), and every so often the newest hash
is signed (`signing`). `store` knows files, `ledger` knows what follows what,
`writer` is the thread that keeps both off the stop path, and `verify` reads the
book as a stranger would and names the first record that is not as it was
written.

**The results** (`summary.json`, `decisions.jsonl`) are what a person or another
program reads after a run or a replay (`summary`, `decisions`).
"""
