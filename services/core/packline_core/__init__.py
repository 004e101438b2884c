"""What every Packline service stands on: words, errors, bundles, the serving path. Imports no service."""
