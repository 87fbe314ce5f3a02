"""Stubs generated from proto/qdts/v1 by proto/generate.sh; never edited by hand."""
