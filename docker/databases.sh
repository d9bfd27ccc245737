#!/usr/bin/env bash
# The databases and logins of docker-compose.yml, with no more rights than their tasks need. PostgreSQL's image runs this
# once, when its volume is empty. Passwords come from the environment; SHOP_SQL names the tables of the shop.
set -euo pipefail

psql --no-psqlrc --set=ON_ERROR_STOP=1 --quiet --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\getenv source_password SOURCE_PASSWORD
\getenv masker_password MASKER_PASSWORD
\getenv shop_sql SHOP_SQL

CREATE DATABASE catalog;
-- The worker's rights come from the role that the catalog's migration grants them to.
CREATE ROLE cdc_masker_worker NOLOGIN;
CREATE ROLE masker LOGIN PASSWORD :'masker_password' IN ROLE cdc_masker_worker;

-- Debezium publishes tables, which only their owner may: it is a member of that role.
CREATE ROLE shop NOLOGIN;
CREATE ROLE debezium LOGIN REPLICATION PASSWORD :'source_password' IN ROLE shop;
CREATE DATABASE shop OWNER shop;
\connect shop
SET ROLE shop;
\i :shop_sql
SQL
