"""The adapter, the baseline and the feedback steps of one preference.

Public: `stages.ensure_adapter`, `stages.ensure_baseline` and `stages.run_training`, which the assets call, and
`context.TrainingContext`, which each of them is handed. `loop.train` is the loop itself.
"""
