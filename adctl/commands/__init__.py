"""One module per subcommand, each with one public function: run(...) -> Report."""
