"""Files that people bring, exports and tables and JSON: read strictly, streamed, kept from changing meanwhile."""
