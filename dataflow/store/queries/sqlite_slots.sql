-- The statements of limits and their slots.

-- name: create_limit
-- Makes a limit.
INSERT INTO limits (name, slots, decay, active, created_ns, free_ns) VALUES (?, ?, ?, ?, ?, 0)
ON CONFLICT (name) DO NOTHING;

-- name: change_limit
-- Changes what is given of a limit.
UPDATE limits SET
    slots = coalesce(:slots, slots), decay = coalesce(:decay, decay),
    active = coalesce(:active, active)
WHERE name = :name;

-- name: delete_limit
-- Removes a limit.
DELETE FROM limits WHERE name = ?;

-- name: delete_requests
-- Nobody asks for slots of a limit any more.
DELETE FROM slot_requests WHERE name = ?;

-- name: limits
-- All limits, with the slots that are held and the requests that wait.
SELECT limits.name, limits.slots, decay, active, created_ns, free_ns,
    coalesce(sum(slot_requests.slots) FILTER (WHERE granted), 0),
    count(*) FILTER (WHERE NOT granted)
FROM limits LEFT JOIN slot_requests ON slot_requests.name = limits.name
GROUP BY limits.name ORDER BY limits.name;

-- name: limit
-- One limit.
SELECT name, slots, decay, active, created_ns, free_ns FROM limits WHERE name = ?;

-- name: tag_limits
-- The limits on tags that limit anything at present.
SELECT name FROM limits WHERE name >= 'tag:' AND name < 'tag;' AND active;

-- name: requests
-- What is held and waited for of a limit, in the order of asking.
SELECT request, slots, granted, expires_ns, place, pid, started, holder, since_ns
FROM slot_requests WHERE name = ? ORDER BY request;

-- name: request
-- What one request asks for.
SELECT name, slots, granted FROM slot_requests WHERE request = ?;

-- name: count_request
-- There is another request.
UPDATE slot_counter SET last = last + 1;

-- name: last_request
-- The number of the last request.
SELECT last FROM slot_counter;

-- name: add_request
-- Somebody asks for slots.
INSERT INTO slot_requests (
    request, name, slots, granted, expires_ns, place, pid, started, holder, since_ns
) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?);

-- name: grant
-- A request holds its slots.
UPDATE slot_requests SET granted = 1, since_ns = ? WHERE request = ?;

-- name: drop_request
-- A request is over.
DELETE FROM slot_requests WHERE request = ?;

-- name: renew
-- The process of a request lives.
UPDATE slot_requests SET expires_ns = ? WHERE request = ?;

-- name: take_rate
-- Slots of a limit on a rate are taken: it will be free later.
UPDATE limits SET free_ns = ? WHERE name = ?;
