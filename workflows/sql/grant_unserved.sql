-- Grant a hold on a device that no living worker serves, if the holds granted before it leave room.
-- The device's row is locked. `taken` is what the driver says others use. Row back: it is granted.
UPDATE lmx.vram_holds h SET granted_at = clock_timestamp()
FROM lmx.devices d LEFT JOIN lmx.workers w ON w.id = d.worker_id
WHERE h.id = %(hold)s AND h.granted_at IS NULL AND d.id = h.device_id
  AND (w.id IS NULL OR w.stopped_at IS NOT NULL OR w.expires_at < clock_timestamp())
  AND h.bytes + greatest(%(taken)s::bigint, (
      SELECT coalesce(sum(o.bytes), 0) FROM lmx.vram_holds o
      WHERE o.device_id = h.device_id AND o.granted_at IS NOT NULL)) <= d.cap_bytes
RETURNING h.id
