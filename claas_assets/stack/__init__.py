"""The embedded stack: a CLaaS server for one machine, which generates, scores and trains on one model.

What others use: `supervise.ensure_running` gives the address of a stack, starting one where none
runs; `python -m claas_assets.stack` runs one by hand; `python -m claas_assets.stack.weights`
fetches the default model. Nothing is imported here, so that finding a stack loads no torch.
"""
