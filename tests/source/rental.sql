-- A DVD rental shop, written after the public documentation of the Sakila sample database (tables and columns) and of Pagila, its
-- version for PostgreSQL (types): identifiers are integers, payments are partitioned by date, a film's text search vector is
-- computed. Columns of two kinds are added that people do have: a name that is computed, and a comment with a value in it.

CREATE SCHEMA rental;

CREATE TYPE rental.mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17');
CREATE DOMAIN rental.year AS integer CHECK (value BETWEEN 1901 AND 2155);
CREATE DOMAIN rental.email AS varchar(50);

CREATE TABLE rental.actor (
  actor_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  first_name text NOT NULL,
  last_name text NOT NULL,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.category (
  category_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.country (
  country_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  country text NOT NULL,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.city (
  city_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  city text NOT NULL,
  country_id integer NOT NULL REFERENCES rental.country,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.address (
  address_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  address text NOT NULL,
  address2 text,
  district text NOT NULL,
  city_id integer NOT NULL REFERENCES rental.city,
  postal_code text,
  phone text NOT NULL,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.language (
  language_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name char(20) NOT NULL,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.film (
  film_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  title text NOT NULL,
  description text,
  release_year rental.year,
  language_id smallint NOT NULL REFERENCES rental.language,
  original_language_id smallint REFERENCES rental.language,
  rental_duration smallint NOT NULL DEFAULT 3,
  rental_rate numeric(4,2) NOT NULL DEFAULT 4.99,
  length smallint,
  replacement_cost numeric(5,2) NOT NULL DEFAULT 19.99,
  rating rental.mpaa_rating DEFAULT 'G',
  special_features text[],
  last_update timestamptz NOT NULL DEFAULT now(),
  fulltext tsvector GENERATED ALWAYS AS (to_tsvector('english', title || ' ' || coalesce(description, ''))) STORED
);

CREATE TABLE rental.film_actor (
  actor_id integer NOT NULL REFERENCES rental.actor,
  film_id integer NOT NULL REFERENCES rental.film,
  last_update timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (actor_id, film_id)
);

CREATE TABLE rental.film_category (
  film_id integer NOT NULL REFERENCES rental.film,
  category_id integer NOT NULL REFERENCES rental.category,
  last_update timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (film_id, category_id)
);

CREATE TABLE rental.store (
  store_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  manager_staff_id integer NOT NULL UNIQUE,
  address_id integer NOT NULL REFERENCES rental.address,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.staff (
  staff_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  first_name text NOT NULL,
  last_name text NOT NULL,
  address_id integer NOT NULL REFERENCES rental.address,
  email rental.email,
  store_id integer NOT NULL REFERENCES rental.store,
  active boolean NOT NULL DEFAULT true,
  username text NOT NULL,
  password text,
  last_update timestamptz NOT NULL DEFAULT now(),
  picture bytea
);
ALTER TABLE rental.store ADD FOREIGN KEY (manager_staff_id) REFERENCES rental.staff;

CREATE TABLE rental.customer (
  customer_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store_id integer NOT NULL REFERENCES rental.store,
  first_name text NOT NULL,
  last_name text NOT NULL,
  full_name text GENERATED ALWAYS AS (first_name || ' ' || last_name) STORED,
  email rental.email,
  address_id integer NOT NULL REFERENCES rental.address,
  activebool boolean NOT NULL DEFAULT true,
  create_date date NOT NULL DEFAULT current_date,
  last_update timestamptz DEFAULT now(),
  active integer
);
CREATE UNIQUE INDEX customer_email ON rental.customer (lower(email));
COMMENT ON COLUMN rental.customer.active IS 'see the e-mail of canary-4f1d@example.com';

CREATE TABLE rental.inventory (
  inventory_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  film_id integer NOT NULL REFERENCES rental.film,
  store_id integer NOT NULL REFERENCES rental.store,
  last_update timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rental.rental (
  rental_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rental_date timestamptz NOT NULL,
  inventory_id integer NOT NULL REFERENCES rental.inventory,
  customer_id integer NOT NULL REFERENCES rental.customer,
  return_date timestamptz,
  staff_id integer NOT NULL REFERENCES rental.staff,
  last_update timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX rental_date_inventory_customer ON rental.rental (rental_date, inventory_id, customer_id);

CREATE TABLE rental.payment (
  payment_id integer GENERATED BY DEFAULT AS IDENTITY,
  customer_id integer NOT NULL REFERENCES rental.customer,
  staff_id integer NOT NULL REFERENCES rental.staff,
  rental_id integer NOT NULL REFERENCES rental.rental,
  amount numeric(5,2) NOT NULL,
  payment_date timestamptz NOT NULL,
  PRIMARY KEY (payment_date, payment_id)
) PARTITION BY RANGE (payment_date);
CREATE TABLE rental.payment_2026_01 PARTITION OF rental.payment FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE rental.payment_2026_02 PARTITION OF rental.payment FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
