"""How people and programs reach lmx: command line, HTTP, supervisor, demo."""
