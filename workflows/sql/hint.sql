-- Tell the workers of a queue that something in it may start.
SELECT pg_notify('lmx:' || %(queue)s, '')
