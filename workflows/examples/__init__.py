"""Example workflows. A worker loads them when LMX_WORKFLOWS names them."""
