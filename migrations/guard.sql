-- A guard over the catalog's tables, functions and triggers: nobody alters or drops them, their owner included, until a superuser
-- drops the guard. Made where whoever runs this may make event triggers; run by versions/0001_catalog.py and by
-- `cdc-masker db guard`, which put the catalog's schema in place of @catalog@. Its functions stand in a schema of their own, since
-- the owner of a schema may drop whatever is in it. A later migration of these tables drops the event triggers first, and runs
-- this again at its end.
--
-- Partitions of the audit come and go all the same, but only by two functions of the catalog, which the guard keeps as they
-- are: they ask the guard to call them, and while it does, it lets this transaction do what they do.
DO $guard$ BEGIN
  CREATE SCHEMA IF NOT EXISTS "@catalog@_guard";
  GRANT USAGE ON SCHEMA "@catalog@_guard" TO PUBLIC; -- whoever alters anything in this database runs these functions
  CREATE OR REPLACE FUNCTION "@catalog@_guard".present() RETURNS SETOF text
  LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'table ' || relname FROM pg_class
    WHERE relnamespace = to_regnamespace('"@catalog@"') AND relkind IN ('r', 'p') AND NOT relispartition
    UNION SELECT 'all partitions' WHERE NOT EXISTS (
      SELECT FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid JOIN pg_class AS whole ON whole.oid = inhparent
      WHERE part.relispartition AND whole.relnamespace = to_regnamespace('"@catalog@"')
        AND part.relnamespace <> whole.relnamespace
    )
    UNION SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = to_regnamespace('"@catalog@"')
  $$;
  -- What is there now, for good: whatever is renamed or moved has another name when a trigger sees it.
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION "@catalog@_guard".held() RETURNS text[] LANGUAGE sql IMMUTABLE AS %L',
    format('SELECT %L::text[]', ARRAY(SELECT "@catalog@_guard".present()))
  );
  -- The transactions that it lets, while it does.
  CREATE TABLE IF NOT EXISTS "@catalog@_guard".letting (transaction xid8 NOT NULL);
  GRANT SELECT ON "@catalog@_guard".letting TO PUBLIC;
  CREATE OR REPLACE FUNCTION "@catalog@_guard".lets() RETURNS boolean
  LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM "@catalog@_guard".letting WHERE transaction = pg_current_xact_id_if_assigned())
  $$;
  -- These run as the superuser who made the guard. What they call must not: it runs as the owner.
  CREATE OR REPLACE FUNCTION "@catalog@_guard".let(function regprocedure) RETURNS void
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
  BEGIN
    IF NOT (SELECT prosecdef AND proowner = to_regrole('"@catalog@_owner"') FROM pg_proc WHERE oid = function) THEN
      RAISE EXCEPTION '% is not as the migration made it: the catalog is guarded', function;
    END IF;
    INSERT INTO "@catalog@_guard".letting VALUES (pg_current_xact_id());
  END $$;
  CREATE OR REPLACE FUNCTION "@catalog@_guard".make_audit_partitions() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  BEGIN
    PERFORM "@catalog@_guard".let('"@catalog@".make_audit_partitions()');
    PERFORM "@catalog@".make_audit_partitions();
    DELETE FROM "@catalog@_guard".letting WHERE transaction = pg_current_xact_id();
  END $$;
  CREATE OR REPLACE FUNCTION "@catalog@_guard".retire_audit(manifest json) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  BEGIN
    PERFORM "@catalog@_guard".let('"@catalog@".retire_audit(json)');
    PERFORM "@catalog@".retire_audit(manifest);
    DELETE FROM "@catalog@_guard".letting WHERE transaction = pg_current_xact_id();
  END $$;
  REVOKE ALL ON FUNCTION "@catalog@_guard".let(regprocedure), "@catalog@_guard".make_audit_partitions(),
    "@catalog@_guard".retire_audit(json) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION "@catalog@_guard".make_audit_partitions(), "@catalog@_guard".retire_audit(json)
    TO "@catalog@_owner";
  CREATE OR REPLACE FUNCTION "@catalog@_guard".refuse_alter() RETURNS event_trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
  DECLARE
    one record;
  BEGIN
    IF "@catalog@_guard".lets() THEN
      RETURN;
    END IF;
    FOR one IN
      SELECT * FROM pg_event_trigger_ddl_commands() AS command
      CROSS JOIN LATERAL pg_identify_object_as_address(command.classid, command.objid, command.objsubid) AS object
      WHERE command.classid IS NOT NULL AND command.command_tag NOT IN ('COMMENT', 'REINDEX')
        AND object.object_names[1] = '@catalog@'
        AND (command.schema_name = '@catalog@' OR command.object_type IN ('schema', 'trigger', 'rule', 'policy'))
    LOOP
      RAISE EXCEPTION '% of %: the catalog is guarded', one.command_tag, one.object_identity;
    END LOOP;
    IF TG_TAG SIMILAR TO '(ALTER|CREATE) %' AND EXISTS (
      SELECT unnest("@catalog@_guard".held()) EXCEPT SELECT "@catalog@_guard".present()
    ) THEN
      RAISE EXCEPTION '% of something in %: the catalog is guarded', TG_TAG, '@catalog@';
    END IF;
  END $$;
  CREATE OR REPLACE FUNCTION "@catalog@_guard".refuse_drop() RETURNS event_trigger
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
  DECLARE
    one record;
  BEGIN
    IF "@catalog@_guard".lets() THEN
      RETURN;
    END IF;
    FOR one IN
      SELECT * FROM pg_event_trigger_dropped_objects()
      WHERE schema_name = '@catalog@' OR (object_type IN ('schema', 'rule') AND address_names[1] = '@catalog@')
    LOOP
      RAISE EXCEPTION '% of %: the catalog is guarded', TG_TAG, one.object_identity;
    END LOOP;
  END $$;
  DROP EVENT TRIGGER IF EXISTS "@catalog@_guard_alter";
  DROP EVENT TRIGGER IF EXISTS "@catalog@_guard_drop";
  CREATE EVENT TRIGGER "@catalog@_guard_alter" ON ddl_command_end EXECUTE FUNCTION "@catalog@_guard".refuse_alter();
  CREATE EVENT TRIGGER "@catalog@_guard_drop" ON sql_drop EXECUTE FUNCTION "@catalog@_guard".refuse_drop();
  ALTER EVENT TRIGGER "@catalog@_guard_alter" ENABLE ALWAYS;
  ALTER EVENT TRIGGER "@catalog@_guard_drop" ENABLE ALWAYS;
EXCEPTION WHEN insufficient_privilege THEN
  NULL; -- `cdc-masker doctor` tells
END $guard$
