"""The endpoints of the CLaaS contract, one file a group; `stack.server` puts them together."""
