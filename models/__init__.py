"""Where the detector files come from: fetch the published weights, cut and quantise the graph, judge the result.

Never imported by edge_app; a device needs the files that are made here, not this code. TensorFlow is imported only
inside the functions that need it, so that structure, metrics and manifests can be tested without it.
"""
