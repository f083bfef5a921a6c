"""Make the detector files: convert, train, evaluate, and decide what goes into production.

A device needs the files in models/artefacts, never this code, and edge_app never imports it. TensorFlow is imported
only inside the functions that need it, so that everything else runs and is tested without it.
"""
