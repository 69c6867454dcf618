"""Models of both providers that can be called, and a home for rules."""

from tests.support.routes import routes as routes
