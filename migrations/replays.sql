-- The functions through which replays are begun, told what to do, and cut over, and generations closed and retired; run by
-- versions/0002_replays.py, which puts the catalog's schema in place of SCHEMA. Two empty lines stand between statements.
--
-- A generation is live, then closed or cancelled, then retired; these functions alone change that. Who cuts something over does it
-- in steps, and again after he was cut off: so what is closed, cut over or retired already stays as it is.

-- Gives false, and does nothing, when that is not the next number. `stretches` are partitions, `outputs` the topics of the new
-- generation with the name of each one's copy.
CREATE FUNCTION SCHEMA.begin_replay(
  number integer, version bigint, goes_on boolean, matching text, why text, outputs json, stretches json
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  epoch integer;
  taken text;
BEGIN
  LOCK TABLE SCHEMA.replay, SCHEMA.generation IN SHARE ROW EXCLUSIVE MODE;
  IF number <> (
    SELECT greatest(coalesce(max(generation), 0) + 1, 2)
    FROM (SELECT generation FROM SCHEMA.generation UNION ALL SELECT generation FROM SCHEMA.replay) AS taken
  ) THEN
    RETURN false;
  END IF;
  SELECT key_epoch INTO epoch FROM SCHEMA.policy_version WHERE policy_version.version = begin_replay.version;
  IF epoch IS NULL THEN
    RAISE EXCEPTION 'there is no policy version %', version;
  END IF;
  SELECT one.output_topic INTO taken FROM json_to_recordset(outputs) AS one (output_topic text)
  JOIN SCHEMA.generation USING (output_topic) LIMIT 1;
  IF taken IS NOT NULL THEN
    RAISE EXCEPTION 'topic % is the output of another generation', taken;
  END IF;
  INSERT INTO SCHEMA.replay (generation, policy_version, stays, pattern, reason, created_by)
  VALUES (number, version, goes_on, matching, why, session_user);
  INSERT INTO SCHEMA.replay_partition (generation, topic, partition, incarnation, start_offset, end_offset)
  SELECT number, one.topic, one.partition, one.incarnation, one.start_offset, one.end_offset
  FROM json_to_recordset(stretches) AS one (
    topic text, partition integer, incarnation text, start_offset bigint, end_offset bigint
  );
  INSERT INTO SCHEMA.generation (topic, generation, output_topic, state, policy_version, key_epoch)
  SELECT one.topic, number, one.output_topic, 'live', version, epoch
  FROM json_to_recordset(outputs) AS one (topic text, output_topic text);
  RETURN true;
END $$


CREATE FUNCTION SCHEMA.tell_replay(number integer, what text, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ended json;
BEGIN
  PERFORM FROM SCHEMA.replay WHERE generation = number FOR UPDATE; -- who tells something else at once comes after
  IF NOT FOUND THEN
    RAISE EXCEPTION 'generation % is no replay', number;
  END IF;
  IF EXISTS (SELECT FROM SCHEMA.replay_event WHERE generation = number AND kind = 'cancel') THEN
    RAISE EXCEPTION 'replay % was cancelled', number;
  END IF;
  IF what = 'cancel' AND EXISTS (
    SELECT FROM SCHEMA.generation AS own
    JOIN SCHEMA.generation AS earlier ON earlier.topic = own.topic AND earlier.generation < number
    WHERE own.generation = number AND own.state = 'live' AND earlier.state IN ('closed', 'retired') AND NOT EXISTS (
      SELECT FROM SCHEMA.generation AS other
      WHERE other.topic = own.topic AND other.generation < number AND other.state = 'live'
    )
  ) THEN
    RAISE EXCEPTION 'generation % is what consumers read: the one before it was closed', number;
  END IF;
  INSERT INTO SCHEMA.replay_event (login, generation, kind, reason) VALUES (session_user, number, what, why);
  IF what = 'cancel' THEN
    WITH changed AS (
      UPDATE SCHEMA.generation SET state = 'cancelled' WHERE generation = number AND state = 'live' RETURNING topic
    )
    SELECT coalesce(json_agg(topic ORDER BY topic), '[]') INTO ended FROM changed;
    INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail)
    VALUES (session_user, 'cancel', number::text, why, json_build_object('topics', ended));
  END IF;
END $$


CREATE FUNCTION SCHEMA.close_generation(number integer, topics text[], why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  other text;
  ended json;
BEGIN
  PERFORM FROM SCHEMA.generation WHERE topic = ANY (topics) ORDER BY topic, generation FOR UPDATE;
  SELECT one INTO other FROM unnest(topics) AS one WHERE NOT EXISTS (
    SELECT FROM SCHEMA.generation WHERE topic = one AND generation = number AND state IN ('live', 'closed')
  ) LIMIT 1;
  IF other IS NOT NULL THEN
    RAISE EXCEPTION 'generation % of topic % is not live', number, other;
  END IF;
  SELECT topic INTO other FROM SCHEMA.generation AS own
  WHERE topic = ANY (topics) AND generation = number AND state = 'live' AND NOT EXISTS (
    SELECT FROM SCHEMA.generation AS later
    WHERE later.topic = own.topic AND later.generation > number AND later.state = 'live'
  ) LIMIT 1;
  IF other IS NOT NULL THEN
    RAISE EXCEPTION 'no later generation of topic % is live', other;
  END IF;
  WITH changed AS (
    UPDATE SCHEMA.generation SET state = 'closed'
    WHERE topic = ANY (topics) AND generation = number AND state = 'live' RETURNING topic
  )
  SELECT json_agg(topic ORDER BY topic) INTO ended FROM changed;
  IF ended IS NOT NULL THEN
    INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail)
    VALUES (session_user, 'close', number::text, why, json_build_object('topics', ended));
  END IF;
END $$


CREATE FUNCTION SCHEMA.record_cutovers(cutovers json) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  other record;
BEGIN
  SELECT one.* INTO other FROM json_to_recordset(cutovers) AS one (topic text, closes integer, generation integer)
  WHERE NOT EXISTS (
    SELECT FROM SCHEMA.generation AS old WHERE old.topic = one.topic AND old.generation = one.closes
      AND old.state IN ('closed', 'retired')
  ) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'generation % of topic % is not closed', other.closes, other.topic;
  END IF;
  INSERT INTO SCHEMA.cutover (topic, partition, generation, closes, last_source_offset, old_position, new_position, login)
  SELECT one.topic, one.partition, one.generation, one.closes, one.last_source_offset, one.old_position, one.new_position,
    session_user
  FROM json_to_recordset(cutovers) AS one (
    topic text, partition integer, generation integer, closes integer, last_source_offset bigint, old_position bigint,
    new_position bigint
  )
  ON CONFLICT DO NOTHING;
END $$


CREATE FUNCTION SCHEMA.retire_generation(number integer, topics text[], why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  other text;
  ended json;
BEGIN
  PERFORM FROM SCHEMA.generation WHERE topic = ANY (topics) AND generation = number ORDER BY topic FOR UPDATE;
  SELECT one INTO other FROM unnest(topics) AS one WHERE NOT EXISTS (
    SELECT FROM SCHEMA.generation WHERE topic = one AND generation = number AND state IN ('closed', 'cancelled', 'retired')
  ) LIMIT 1;
  IF other IS NOT NULL THEN
    RAISE EXCEPTION 'generation % of topic % is neither closed nor cancelled', number, other;
  END IF;
  WITH changed AS (
    UPDATE SCHEMA.generation SET state = 'retired'
    WHERE topic = ANY (topics) AND generation = number AND state <> 'retired' RETURNING topic
  )
  SELECT json_agg(topic ORDER BY topic) INTO ended FROM changed;
  IF ended IS NOT NULL THEN
    INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail)
    VALUES (session_user, 'retire-generation', number::text, why, json_build_object('topics', ended));
  END IF;
END $$


-- A worker's insert passes by the functions above, so what it must not register is refused here: a topic that comes to a replay
-- which was cancelled.
CREATE FUNCTION SCHEMA.refuse_cancelled() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM SCHEMA.replay_event WHERE generation = new.generation AND kind = 'cancel') THEN
    RAISE EXCEPTION 'replay % was cancelled', new.generation;
  END IF;
  RETURN new;
END $$


CREATE OR REPLACE FUNCTION SCHEMA.write_receipt(what text, concerning text, why text, more json) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made bigint;
BEGIN
  IF what IN ('erase', 'weaken', 'retire', 'close', 'cancel', 'retire-generation') THEN
    RAISE EXCEPTION 'a receipt of this kind is written with what it is about';
  END IF;
  INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail) VALUES (session_user, what, concerning, why, more)
  RETURNING id INTO made;
  RETURN made;
END $$
