"""Other people's compose files: which services can be lazy, what an override beside them says, running compose.

A library: it imports the catalogue and the layout of the data folder, and nothing above them.
"""
