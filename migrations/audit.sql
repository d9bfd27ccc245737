-- The partitions of the audit, one for each month (UTC) and one for all that belongs in none, and the functions that make and
-- retire them; run by versions/0001_catalog.py, which puts the catalog's schema in place of SCHEMA and the guard's in place of
-- GUARD. Two empty lines stand between statements.
--
-- Nothing that workers may call moves or deletes a row: a month for which rows wait in the DEFAULT partition stays there.

-- A partition gets clones of the triggers that fire for rows, and as they fire, but not of those for statements.
CREATE FUNCTION SCHEMA.make_audit_partition(whole text, part text, bounds text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('CREATE TABLE SCHEMA.%I PARTITION OF SCHEMA.%I %s', part, whole, bounds);
  EXECUTE format(
    'CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON SCHEMA.%I '
    'FOR EACH STATEMENT EXECUTE FUNCTION SCHEMA.refuse_change()', part
  );
  EXECUTE format('ALTER TABLE SCHEMA.%I ENABLE ALWAYS TRIGGER append_only_truncate', part);
END $$


SELECT
  SCHEMA.make_audit_partition('audit_entry', 'audit_entry_default', 'DEFAULT'),
  SCHEMA.make_audit_partition('audit_note', 'audit_note_default', 'DEFAULT')


-- Of this month and the next three: the partitions that are not there.
CREATE FUNCTION SCHEMA.missing_audit_partitions()
RETURNS TABLE (whole text, part text, month timestamptz, month_after timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT whole, part, begin AT TIME ZONE 'UTC', (begin + interval '1 month') AT TIME ZONE 'UTC'
  FROM unnest(ARRAY['audit_entry', 'audit_note']) WITH ORDINALITY AS one (whole, place)
  CROSS JOIN generate_series(0, 3) AS ahead
  CROSS JOIN LATERAL (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + ahead * interval '1 month') AS month (begin)
  CROSS JOIN LATERAL (SELECT format('%s_%s', whole, to_char(begin, 'YYYY_MM'))) AS named (part)
  WHERE to_regclass(format('SCHEMA.%I', part)) IS NULL
  ORDER BY place, ahead
$$


-- The months, from this one on, of entries that stand in DEFAULT since their partition was not there.
CREATE FUNCTION SCHEMA.misplaced_audit_months() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT to_char(masked_at AT TIME ZONE 'UTC', 'YYYY-MM') FROM SCHEMA.audit_entry_default
  WHERE masked_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' ORDER BY 1
$$


CREATE FUNCTION SCHEMA.make_audit_partitions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  missing record;
  occupied boolean;
BEGIN
  IF NOT EXISTS (SELECT FROM SCHEMA.missing_audit_partitions()) THEN
    RETURN;
  END IF;
  IF to_regprocedure('GUARD.lets()') IS NOT NULL THEN
    IF NOT GUARD.lets() THEN
      PERFORM GUARD.make_audit_partitions(); -- which calls this function again
      RETURN;
    END IF;
  END IF;
  LOCK TABLE SCHEMA.audit_entry, SCHEMA.audit_note IN ACCESS EXCLUSIVE MODE; -- whoever comes second finds nothing to do
  FOR missing IN SELECT * FROM SCHEMA.missing_audit_partitions() LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM SCHEMA.%s_default WHERE masked_at >= $1 AND masked_at < $2)', missing.whole)
    INTO occupied USING missing.month, missing.month_after;
    IF NOT occupied THEN
      PERFORM SCHEMA.make_audit_partition(
        missing.whole, missing.part, format('FOR VALUES FROM (%L) TO (%L)', missing.month, missing.month_after)
      );
    END IF;
  END LOOP;
END $$


-- Takes the entries of a month with their notes out, but for those that are the last of their chain, which go to DEFAULT. What
-- was exported is what `cdc_masker.exports.Manifest` says, and has to be all of it.
CREATE FUNCTION SCHEMA.retire_audit(manifest json) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  named text = manifest->>'month';
  month timestamptz = make_timestamptz(left(named, 4)::integer, right(named, 2)::integer, 1, 0, 0, 0, 'UTC');
  month_after timestamptz = (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
  whole text;
  part text;
  held bigint;
  kept bigint;
BEGIN
  IF month_after > now() THEN
    RAISE EXCEPTION 'month % is not over', named;
  END IF;
  IF to_regprocedure('GUARD.lets()') IS NOT NULL THEN
    IF NOT GUARD.lets() THEN
      PERFORM GUARD.retire_audit(manifest); -- which calls this function again
      RETURN;
    END IF;
  END IF;
  LOCK TABLE SCHEMA.audit_entry, SCHEMA.audit_note IN ACCESS EXCLUSIVE MODE;
  IF (SELECT count(*) + 1 FROM SCHEMA.receipt WHERE kind = 'retire' AND about = named) <> (manifest->>'number')::bigint THEN
    RAISE EXCEPTION 'month % was retired meanwhile; run it again', named;
  END IF;
  IF EXISTS (
    SELECT FROM json_to_recordset(manifest->'runs') AS run (
      generation integer, incarnation text, topic text, partition integer, first_offset bigint, last_offset bigint,
      previous text, head text
    )
    WHERE NOT EXISTS (
      SELECT FROM SCHEMA.audit_entry AS entry
      WHERE entry.generation = run.generation AND entry.incarnation = run.incarnation AND entry.topic = run.topic
        AND entry.partition = run.partition AND entry.first_offset = run.first_offset AND entry.previous = run.previous
        AND entry.masked_at >= month AND entry.masked_at < month_after
    ) OR NOT EXISTS (
      SELECT FROM SCHEMA.audit_entry AS entry
      WHERE entry.generation = run.generation AND entry.incarnation = run.incarnation AND entry.topic = run.topic
        AND entry.partition = run.partition AND entry.first_offset = run.last_offset + 1 AND entry.previous = run.head
    ) AND NOT EXISTS (
      SELECT FROM SCHEMA.receipt CROSS JOIN LATERAL json_to_recordset(detail->'runs') AS gone (
        generation integer, incarnation text, topic text, partition integer, first_offset bigint, previous text
      )
      WHERE receipt.kind = 'retire' AND gone.generation = run.generation AND gone.incarnation = run.incarnation
        AND gone.topic = run.topic AND gone.partition = run.partition AND gone.first_offset = run.last_offset + 1
        AND gone.previous = run.head
    )
  ) THEN
    RAISE EXCEPTION 'the manifest of month % does not fit the chains', named;
  END IF;
  FOREACH whole IN ARRAY ARRAY['audit_entry', 'audit_note'] LOOP
    part = format('%s_%s', whole, replace(named, '-', '_'));
    IF to_regclass(format('SCHEMA.%I', part)) IS NULL THEN
      part = whole || '_default';
    END IF;
    EXECUTE format('ALTER TABLE SCHEMA.%I DETACH PARTITION SCHEMA.%I', whole, part);
    EXECUTE format('ALTER TABLE SCHEMA.%I RENAME TO %I', part, whole || '_retired');
    IF part = whole || '_default' THEN
      PERFORM SCHEMA.make_audit_partition(whole, part, 'DEFAULT');
    END IF;
  END LOOP;
  INSERT INTO SCHEMA.audit_entry SELECT * FROM SCHEMA.audit_entry_retired WHERE masked_at < month OR masked_at >= month_after;
  INSERT INTO SCHEMA.audit_entry SELECT last.* FROM (
    SELECT DISTINCT ON (generation, incarnation, topic, partition) * FROM SCHEMA.audit_entry_retired
    WHERE masked_at >= month AND masked_at < month_after
    ORDER BY generation, incarnation, topic, partition, first_offset DESC
  ) AS last WHERE NOT EXISTS (
    SELECT FROM SCHEMA.audit_entry AS entry
    WHERE entry.generation = last.generation AND entry.incarnation = last.incarnation AND entry.topic = last.topic
      AND entry.partition = last.partition AND entry.first_offset > last.first_offset
  );
  GET DIAGNOSTICS kept = ROW_COUNT;
  held = (SELECT count(*) FROM SCHEMA.audit_entry_retired WHERE masked_at >= month AND masked_at < month_after);
  IF held - kept <> (manifest->>'entries')::bigint THEN
    RAISE EXCEPTION 'entries of month % came in meanwhile; run it again', named;
  END IF;
  INSERT INTO SCHEMA.audit_note SELECT note.* FROM SCHEMA.audit_note_retired AS note
  WHERE note.masked_at < month OR note.masked_at >= month_after OR EXISTS (
    SELECT FROM SCHEMA.audit_entry AS entry
    WHERE entry.generation = note.generation AND entry.incarnation = note.incarnation AND entry.topic = note.topic
      AND entry.partition = note.partition AND entry.first_offset = note.first_offset AND entry.masked_at = note.masked_at
  );
  DROP TABLE SCHEMA.audit_entry_retired, SCHEMA.audit_note_retired;
  INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail) VALUES (session_user, 'retire', named, 'retention', manifest);
END $$


SELECT SCHEMA.make_audit_partitions()
