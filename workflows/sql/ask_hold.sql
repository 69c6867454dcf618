-- Ask for bytes of a device. Row back: the hold's id.
WITH asked AS (
    INSERT INTO lmx.vram_holds
        (device_id, command, bytes, host, boot_id, pid, pid_started, expires_at)
    VALUES (%(device)s, %(command)s, %(bytes)s, %(host)s, %(boot)s, %(pid)s, %(started)s,
            clock_timestamp() + make_interval(secs => %(lease)s::float8))
    RETURNING id
)
SELECT id, pg_notify('lmx:holds', '') FROM asked
