from __future__ import annotations
import argparse, threading
HELP = "demo"
def add_arguments(parser: argparse.ArgumentParser) -> None: ...
def main(arguments: argparse.Namespace, stop: threading.Event) -> int: return 0
