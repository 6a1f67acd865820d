"""The demonstration: a synthetic Chinese hospital, an edge agent and a centre on one machine.

The hospital invents everything: no name, number or text in it belongs to a person. It knows nothing of agents
or centres; it is a database and a folder that live, which is all that a real hospital shows us.
"""
