-- Embedded creatives and which of them win. PostgreSQL is the truth; the index file is a cache of it.

create table embeddings (
  account text not null references accounts,
  -- The id inside the index file, taken from the content hash; creatives of the same content share it.
  id bigint not null,
  model_id text not null,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  dims integer not null check (dims > 0),
  vector bytea not null,
  embedded_at timestamptz not null,
  primary key (account, model_id, id),
  unique (account, model_id, content_hash),
  check (octet_length(vector) = 4 * dims)
);

create table winners (
  account text not null references accounts,
  creative_id text not null,
  state text not null check (state in ('winner', 'demoted')),
  probability double precision not null check (probability between 0 and 1),
  evidence jsonb not null,
  since timestamptz not null,
  until timestamptz,
  primary key (account, creative_id),
  check ((state = 'demoted') = (until is not null))
);

create table winner_events (
  account text not null references accounts,
  at timestamptz not null,
  creative_id text not null,
  state text not null check (state in ('winner', 'demoted')),
  probability double precision not null,
  evidence jsonb not null,
  primary key (account, at, creative_id)
) partition by range (at);
