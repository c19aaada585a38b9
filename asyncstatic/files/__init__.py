"""The disk: safe names in, open handles and their facts out. Knows no HTTP request."""
