"""A CLaaS deployment as typed calls: what to send where, what came back, and what evaluations on it share.

Public: `client.ClaasClient`, `routes.routes_for`, `responses` (the typed answers), `feedback_protocol` (what the
two generations of deployments take and say), `locks`, and `watch` (is it another deployment than last time?).
"""
