-- The functions through which policy versions are released and signed; run by versions/0001_catalog.py, which puts the catalog's
-- schema in place of SCHEMA. Two empty lines stand between statements.

-- `cdc_masker.sealing` says what a seal is made of, and computes it again from the rows.
CREATE FUNCTION SCHEMA.policy_seal(parts text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'sha256:' || encode(sha256(convert_to(array_to_json(parts)::text, 'UTF8')), 'hex')
$$


CREATE FUNCTION SCHEMA.release_policy(document json, expected_parent text, digest_of_nothing text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  newest SCHEMA.policy_version;
  made bigint;
  at timestamptz = now();
  parts text[];
BEGIN
  LOCK TABLE SCHEMA.policy_version IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO newest FROM SCHEMA.policy_version ORDER BY version DESC LIMIT 1;
  IF coalesce(newest.digest, digest_of_nothing) <> expected_parent THEN
    RAISE EXCEPTION 'the newest policy version is not what the applied revisions say; restore their files as they were '
      'released, and change a policy in a new revision only';
  END IF;
  IF newest.version IS NOT NULL AND (document->>'unexplained')::boolean THEN
    RAISE EXCEPTION 'the first policy revision masks less than the version in force; if that is meant, say '
      'op.allow_weaker(reason) in it';
  END IF;
  made = coalesce(newest.version, 0) + 1;
  parts = ARRAY[
    'cdc-masker policy seal 1', coalesce(newest.seal, ''), made::text, document->>'digest', document->>'revision',
    array_to_json(ARRAY(SELECT json_array_elements_text(document->'heads')))::text, document->>'reason',
    document->>'weaker_reason', (extract(epoch FROM at) * 1000000)::bigint::text, session_user::text
  ] || ARRAY(
    SELECT part
    FROM json_to_recordset(document->'rules') AS rule (
      server text, "schema" text, "table" text, "column" text, path text, pattern boolean, reason text, ticket text
    )
    CROSS JOIN LATERAL unnest(ARRAY[
      rule.pattern::text, rule.server, rule."schema", rule."table", rule."column", coalesce(rule.path, ''), rule.reason,
      rule.ticket
    ]) WITH ORDINALITY AS one (part, place)
    ORDER BY
      rule.pattern, rule.server COLLATE "C", rule."schema" COLLATE "C", rule."table" COLLATE "C", rule."column" COLLATE "C",
      coalesce(rule.path, '') COLLATE "C", place
  ) || ARRAY( -- tables and topics come in their order
    SELECT part
    FROM json_array_elements(document->'tables') WITH ORDINALITY AS stated (item, number)
    CROSS JOIN LATERAL unnest(ARRAY[
      item->>'server', item->>'schema', item->>'table', item->>'reason', item->>'ticket'
    ]) WITH ORDINALITY AS one (part, place)
    ORDER BY number, place
  ) || ARRAY(
    SELECT part
    FROM json_array_elements(document->'envelopes') WITH ORDINALITY AS stated (item, number)
    CROSS JOIN LATERAL unnest(ARRAY[item->>'topic', item->>'reason', item->>'ticket']) WITH ORDINALITY AS one (part, place)
    ORDER BY number, place
  );
  INSERT INTO SCHEMA.policy_version
    (version, parent, digest, seal, default_method, key_epoch, tables, domains, envelopes, headers, revision, heads, reason,
     weaker_reason, created_at, created_by)
  VALUES (
    made, newest.version, document->>'digest', SCHEMA.policy_seal(parts), document->>'default',
    (document->>'key_epoch')::int, document->'tables', document->'domains', document->'envelopes', document->'headers',
    document->>'revision', document->'heads', document->>'reason', document->>'weaker_reason', at, session_user
  );
  IF document->>'weaker_reason' IS NOT NULL THEN
    INSERT INTO SCHEMA.receipt (login, kind, about, reason, detail)
    VALUES (session_user, 'weaken', 'policy version ' || made, document->>'weaker_reason', json_build_object('version', made));
  END IF;
  INSERT INTO SCHEMA.policy_rule
    (version, server, table_schema, table_name, column_name, path, pattern, type, method, params, strict,
     allow_small_domain, allow_uniqueness_loss, classification, reason, ticket)
  SELECT
    made, rule.server, rule."schema", rule."table", rule."column", coalesce(rule.path, ''), rule.pattern, rule.type,
    rule.method, rule.params, rule.strict, rule.allow_small_domain, rule.allow_uniqueness_loss, rule.classification,
    rule.reason, rule.ticket
  FROM json_to_recordset(document->'rules') AS rule (
    server text, "schema" text, "table" text, "column" text, path text, type text, method text, params json,
    pattern boolean, strict boolean, allow_small_domain boolean, allow_uniqueness_loss boolean, classification text,
    reason text, ticket text
  );
  RETURN made;
END $$


-- Nothing here can tell whether the signature is right: whoever reads it does.
CREATE FUNCTION SCHEMA.sign_policy(signed bigint, sealed text, by_key bytea, at timestamptz, with_signature bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM SCHEMA.policy_version WHERE version = signed AND seal = sealed) THEN
    RAISE EXCEPTION 'there is no policy version % with that seal', signed;
  END IF;
  IF EXISTS (SELECT FROM SCHEMA.policy_signature WHERE version = signed AND key = by_key) THEN
    RAISE EXCEPTION 'policy version % is signed by that key already', signed;
  END IF;
  INSERT INTO SCHEMA.policy_signature (version, key, signed_at, signature) VALUES (signed, by_key, at, with_signature);
END $$
