-- Embedded creatives, what they did, and which of them win. PostgreSQL is the truth; the index file is a cache of it.
-- Creatives of the same content are one: what counts here is the content hash, never how often it was uploaded.

create table embeddings (
  account text not null references accounts,
  -- The id inside the index file, taken from the content hash.
  id bigint not null,
  model_id text not null,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  dims integer not null check (dims > 0),
  vector bytea not null,
  embedded_at timestamptz not null,
  primary key (account, model_id, id),
  unique (account, model_id, content_hash),
  check (octet_length(vector) = 4 * dims)
)
-- Vectors stay in their rows (2,000 numbers at most) and as they are: they do not compress, and all are read in one go.
with (toast_tuple_target = 8160);
alter table embeddings alter vector set storage external;

-- The mature record of every content as last judged, winner or not. Money is minor units.
create table creative_records (
  account text not null references accounts,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  impressions bigint not null check (impressions >= 0),
  clicks bigint not null check (clicks >= 0),
  spend bigint not null check (spend >= 0),
  wins double precision not null check (wins >= 0),
  value bigint not null check (value >= 0),
  matured boolean not null,
  probability double precision not null check (probability between 0 and 1),
  promising boolean not null,
  reason text not null,
  judged_at timestamptz not null,
  primary key (account, content_hash)
);

create table winners (
  account text not null references accounts,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  state text not null check (state in ('winner', 'demoted')),
  since timestamptz not null,
  until timestamptz,
  primary key (account, content_hash),
  check ((state = 'demoted') = (until is not null))
);

create table winner_events (
  account text not null references accounts,
  at timestamptz not null,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  state text not null check (state in ('winner', 'demoted')),
  probability double precision not null,
  evidence jsonb not null,
  primary key (account, at, content_hash, state)
) partition by range (at);

create trigger winner_events_are_append_only before update or delete on winner_events
  for each row execute function refuse_rewriting();
create trigger winner_events_are_never_truncated before truncate on winner_events
  for each statement execute function refuse_rewriting();

-- Creatives that were taken in from elsewhere, with the record that proved them. Money is minor units.
create table added_creatives (
  account text not null references accounts,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  impressions bigint not null check (impressions >= 0),
  clicks bigint not null check (clicks >= 0),
  spend bigint not null check (spend >= 0),
  wins bigint not null check (wins >= 0),
  value bigint not null check (value >= 0),
  added_at timestamptz not null,
  primary key (account, content_hash)
);

-- Words fitted on the account's own texts: an embedder's parameters, stored so that every host embeds alike.
create table fitted_words (
  account text not null references accounts,
  digest text not null,
  -- What the fit was made of.
  texts bytea not null check (octet_length(texts) = 16),
  vocabulary bytea not null,
  vectors bytea not null,
  common bytea not null,
  fitted_at timestamptz not null,
  primary key (account, digest)
);

-- Whether similar creatives tell anything of new ads here, as last judged; the engine listens only where they help.
create table neighbour_evaluations (
  account text not null references accounts,
  outcome text not null check (outcome in ('leads', 'clicks')),
  model_id text not null,
  dims integer not null check (dims > 0),
  helps boolean not null,
  result jsonb not null,
  evaluated_at timestamptz not null,
  primary key (account, outcome)
);
