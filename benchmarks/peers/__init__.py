"""One small file a peer: how it is started, on so many processes and warm, for the cases.

Each peer is used as its documentation has it. Its package is imported when it is started and not
before, so that one that is missing costs the others nothing.
"""
