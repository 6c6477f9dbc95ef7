"""Many nodes without work, against a real server: how far one server scales.

Each simulated node is a real one but for its slots: `farm.dialogue` and `farm.node` decide what it
says, over two real connections with a real handshake, and only `slots.py` stands where the engine
would be. Processes of their own (`generator.py`) hold the nodes, so that the server is measured and
not those who ask.
"""
