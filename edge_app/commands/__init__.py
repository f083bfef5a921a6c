"""One module for each command of `edge-app`: HELP, add_arguments(parser) and main(arguments, stop) -> exit code.

`main` ends soon after `stop` is set. Heavy imports stay inside it, because `edge-app --help` must answer at once, also
on a small device.
"""
