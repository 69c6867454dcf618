"""A faithful provider: a local server that speaks as Anthropic, Gemini and OpenAI do.

It enforces limits by its own means and by its own clock, which may run faster than real time,
counts every request, refusal and dollar, and fails on demand. For rehearsing a night's work before
anything is spent, and for tests. It shares no code with what keeps the limits.
"""
