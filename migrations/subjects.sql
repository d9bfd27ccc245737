-- The functions through which subjects' keys are made, found and erased, and receipts written; run by versions/0001_catalog.py,
-- which puts the catalog's schema in place of SCHEMA. Two empty lines stand between statements.
--
-- A subject stands here as a keyed hash, its key wrapped. An erasure has a number; numbers are given in the order in which
-- erasures become visible, so that "up to this number" means something.

-- What is answered holds until the caller's transaction ends or an erasure begins, of which `worker_is_here` tells. A key is not
-- given while an erasure goes on; then the end of the caller's batch is noted, so that the erasure covers what gets redacted.
CREATE FUNCTION SCHEMA.subject_keys(asked json, of_topic text, of_incarnation text, of_partition integer, batch_end bigint)
RETURNS TABLE (place integer, wrapped bytea, erasing boolean, erased json)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  going_on bigint[];
BEGIN
  -- Whoever completes one of these waits until this transaction is over, and the other way round.
  going_on = ARRAY(
    SELECT erasure.number FROM SCHEMA.erasure
    WHERE erasure.completed_at IS NULL AND erasure.number IN (
      SELECT subject.number FROM SCHEMA.erasure_subject AS subject
      JOIN json_to_recordset(asked) AS one (domain text, name text)
        ON subject.domain = one.domain AND subject.name = decode(one.name, 'hex')
    )
    ORDER BY erasure.number FOR SHARE
  );
  INSERT INTO SCHEMA.erasure_offset AS kept (number, topic, incarnation, partition, next_offset)
  SELECT number, of_topic, of_incarnation, of_partition, batch_end FROM unnest(going_on) AS number
  ON CONFLICT ON CONSTRAINT erasure_offset_pkey
    DO UPDATE SET next_offset = greatest(kept.next_offset, excluded.next_offset);
  INSERT INTO SCHEMA.subject_key (domain, key_epoch, name, wrapped)
  SELECT one.domain, one.epoch, decode(one.name, 'hex'), decode(one.candidate, 'hex')
  FROM json_to_recordset(asked) AS one (domain text, epoch integer, name text, candidate text, renew boolean)
  WHERE NOT EXISTS (
    SELECT FROM SCHEMA.erasure_subject AS subject
    WHERE subject.domain = one.domain AND subject.name = decode(one.name, 'hex')
      AND (subject.number = ANY (going_on) OR NOT one.renew)
  )
  ORDER BY one.domain, one.epoch, one.name
  ON CONFLICT DO NOTHING;
  RETURN QUERY
  SELECT
    one.place,
    CASE WHEN state.erasing THEN NULL ELSE held.wrapped END,
    state.erasing,
    (
      SELECT json_agg(json_build_array(ends.topic, ends.incarnation, ends.partition, ends.next_offset))
      FROM SCHEMA.erasure_subject AS subject
      JOIN SCHEMA.erasure ON erasure.number = subject.number AND erasure.completed_at IS NOT NULL
      JOIN SCHEMA.erasure_offset AS ends ON ends.number = subject.number
      WHERE subject.domain = one.domain AND subject.name = decode(one.name, 'hex')
    )
  FROM json_to_recordset(asked) AS one (place integer, domain text, epoch integer, name text)
  LEFT JOIN SCHEMA.subject_key AS held
    ON held.domain = one.domain AND held.key_epoch = one.epoch AND held.name = decode(one.name, 'hex')
  CROSS JOIN LATERAL (
    SELECT EXISTS (
      SELECT FROM SCHEMA.erasure_subject AS subject
      WHERE subject.domain = one.domain AND subject.name = decode(one.name, 'hex') AND subject.number = ANY (going_on)
    )
  ) AS state (erasing);
END $$


-- The first time, `knows` is null: a worker that just started holds no key, so it knows of all erasures so far.
CREATE FUNCTION SCHEMA.worker_is_here(who uuid, called text, knows bigint, seconds double precision) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  newest bigint = (SELECT coalesce(max(number), 0) FROM SCHEMA.erasure);
  until timestamptz = clock_timestamp() + make_interval(secs => seconds);
BEGIN
  IF knows IS NULL THEN
    DELETE FROM SCHEMA.worker_presence WHERE here_until < clock_timestamp() - interval '1 day';
  END IF;
  INSERT INTO SCHEMA.worker_presence (worker, name, acknowledged, here_until)
  VALUES (who, called, coalesce(knows, newest), until)
  ON CONFLICT (worker) DO UPDATE SET acknowledged = excluded.acknowledged, here_until = excluded.here_until;
  RETURN json_build_object('newest', newest, 'names', (
    SELECT coalesce(json_agg(json_build_array(subject.domain, encode(subject.name, 'hex'))), '[]')
    FROM SCHEMA.erasure_subject AS subject WHERE subject.number > knows AND subject.number <= newest
  ));
END $$


CREATE FUNCTION SCHEMA.worker_leaves(who uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM SCHEMA.worker_presence WHERE worker = who
$$


-- Gives the numbers of the erasures that the subjects are in now: those that somebody began and did not complete, too.
CREATE FUNCTION SCHEMA.begin_erasure(subjects json, why text) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  going_on bigint[];
  made bigint;
BEGIN
  LOCK TABLE SCHEMA.erasure IN SHARE ROW EXCLUSIVE MODE;
  going_on = ARRAY(
    SELECT DISTINCT erasure.number FROM SCHEMA.erasure JOIN SCHEMA.erasure_subject AS subject USING (number)
    JOIN json_to_recordset(subjects) AS one (domain text, name text)
      ON subject.domain = one.domain AND subject.name = decode(one.name, 'hex')
    WHERE erasure.completed_at IS NULL
  );
  IF EXISTS (
    SELECT FROM json_to_recordset(subjects) AS one (domain text, name text) WHERE NOT EXISTS (
      SELECT FROM SCHEMA.erasure_subject AS subject
      WHERE subject.domain = one.domain AND subject.name = decode(one.name, 'hex') AND subject.number = ANY (going_on)
    )
  ) THEN
    made = (SELECT coalesce(max(number), 0) + 1 FROM SCHEMA.erasure);
    INSERT INTO SCHEMA.erasure (number, reason, begun_by) VALUES (made, why, session_user);
    INSERT INTO SCHEMA.erasure_subject (domain, name, number)
    SELECT DISTINCT one.domain, decode(one.name, 'hex'), made
    FROM json_to_recordset(subjects) AS one (domain text, name text) WHERE NOT EXISTS (
      SELECT FROM SCHEMA.erasure_subject AS subject
      WHERE subject.domain = one.domain AND subject.name = decode(one.name, 'hex') AND subject.number = ANY (going_on)
    );
    going_on = going_on || made;
  END IF;
  RETURN going_on;
END $$


-- Gives false, and does nothing, while a worker is here that has not acknowledged them.
CREATE FUNCTION SCHEMA.complete_erasure(numbers bigint[], ends json) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  going_on bigint[];
BEGIN
  going_on = ARRAY(
    SELECT number FROM SCHEMA.erasure WHERE number = ANY (numbers) AND completed_at IS NULL ORDER BY number FOR UPDATE
  );
  IF EXISTS (
    SELECT FROM SCHEMA.worker_presence
    WHERE here_until > clock_timestamp() AND acknowledged < (SELECT max(number) FROM unnest(going_on) AS number)
  ) THEN
    RETURN false;
  END IF;
  INSERT INTO SCHEMA.erasure_offset AS kept (number, topic, incarnation, partition, next_offset)
  SELECT number, one.topic, one.incarnation, one.partition, one.next_offset
  FROM unnest(going_on) AS number
  CROSS JOIN json_to_recordset(ends) AS one (topic text, incarnation text, partition integer, next_offset bigint)
  ON CONFLICT ON CONSTRAINT erasure_offset_pkey
    DO UPDATE SET next_offset = greatest(kept.next_offset, excluded.next_offset);
  INSERT INTO SCHEMA.receipt (login, kind, about, subject, reason, detail)
  SELECT session_user, 'erase', subject.domain, subject.name, erasure.reason, json_build_object(
    'erasure', erasure.number,
    'begun_by', erasure.begun_by,
    'begun_at', erasure.begun_at,
    'key_epochs', (
      SELECT coalesce(json_agg(held.key_epoch ORDER BY held.key_epoch), '[]') FROM SCHEMA.subject_key AS held
      WHERE held.domain = subject.domain AND held.name = subject.name
    ),
    'erased_before', (
      SELECT coalesce(json_agg(json_build_array(topic, incarnation, partition, next_offset) ORDER BY topic, partition), '[]')
      FROM SCHEMA.erasure_offset AS ends WHERE ends.number = erasure.number
    )
  )
  FROM SCHEMA.erasure JOIN SCHEMA.erasure_subject AS subject USING (number) WHERE number = ANY (going_on)
  ORDER BY number, subject.domain;
  DELETE FROM SCHEMA.subject_key AS held USING SCHEMA.erasure_subject AS subject
  WHERE subject.number = ANY (going_on) AND held.domain = subject.domain AND held.name = subject.name;
  UPDATE SCHEMA.erasure SET completed_at = clock_timestamp() WHERE number = ANY (going_on);
  RETURN true;
END $$


CREATE FUNCTION SCHEMA.write_receipt(what text, concerning text, why text, more json) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made bigint;
BEGIN
  IF what IN ('erase', 'weaken', 'retire') THEN
    RAISE EXCEPTION 'a receipt of this kind is written with what it is about';
  END IF;
  INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail) VALUES (session_user, what, concerning, why, more)
  RETURNING id INTO made;
  RETURN made;
END $$
