"""The commands as functions, by the command line's words: ``label``, ``train``, ``Critic``. ``import rlaif`` gives them.

A setting has the name that it has on the command line, ``max_tokens`` for ``--max-tokens``. What the command says and exits
with is raised here: UsageError for what the caller can mend, RunFailed for what went wrong on the way.
"""
