"""One file a command: HELP, add_arguments(parser), main(arguments, stop) -> exit code.

Heavy imports stay inside main: `edge-app --help` must answer at once, also on a small device.
"""
