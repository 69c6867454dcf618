-- Whoever changes what is booked on a device locks its row first, and looks only then.
SELECT FROM lmx.devices WHERE id = %(device)s FOR NO KEY UPDATE
