"""What would go wrong on a deployment: asked of it with throwaway adapters, before an evaluation is paid for.

Public: `checkup.check_deployment`, which returns `findings.Report`.
"""
