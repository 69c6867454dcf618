"""What lmx knows of model providers: models, accounts, limits by tier, prices. All of it is data.

The tables are shipped as TOML beside this file; `$LMX_HOME/providers.toml` and
`$LMX_HOME/prices.toml` add to them or override them.
"""
