-- Answers that were kept with a webhook's secret in clear. The secret itself is sealed by the first gateway that starts;
-- a repetition of those few requests gets its answer without it.
update idempotency set body = jsonb_set(body::jsonb, '{secret}', 'null')::json
where json_typeof(body) = 'object' and body ->> 'secret' is not null;
