"""The version of this package, written into every artefact."""

VERSION = "0.1.0"
