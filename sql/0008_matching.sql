-- What clicks and conversions are matched by besides ids: keyed hashes only, never an address, a user agent, an e-mail.
-- The key is outside the database; key_id names it, so that rows of the previous key can be told.

alter table click_tracking add column consented boolean not null default false;
alter table click_tracking add constraint click_ids_are_short check (length(click_id) <= 512);
create index click_tracking_by_time on click_tracking (account, clicked_at);

-- The lead as somebody's own site saw it: HubSpot knows neither device nor address.
create table conversions (
  account text not null references accounts,
  subject text not null check (subject in ('deal', 'contact')),
  subject_id text not null check (subject_id <> ''),
  converted_at timestamptz not null,
  consented boolean not null,
  primary key (account, subject, subject_id)
);

create table matching_keys (
  account text not null references accounts,
  owner text not null check (owner in ('click', 'deal', 'contact')),
  owner_id text not null,
  key_id text not null,
  -- 32 bytes of HMAC-SHA256 each; null where there is no key, and null never matches.
  fingerprint bytea check (octet_length(fingerprint) = 32),
  ip_prefix bytea check (octet_length(ip_prefix) = 32),
  agent_family bytea check (octet_length(agent_family) = 32),
  primary key (account, owner, owner_id, key_id),
  check (coalesce(fingerprint, ip_prefix, agent_family) is not null)
);
create index clicks_by_device on matching_keys (account, fingerprint) where owner = 'click';
create index clicks_by_network on matching_keys (account, ip_prefix) where owner = 'click';

-- Which rows belong to an e-mail address, for the day its owner asks to be forgotten.
create table email_keys (
  account text not null references accounts,
  email bytea not null check (octet_length(email) = 32),
  key_id text not null,
  owner text not null check (owner in ('click', 'deal', 'contact')),
  owner_id text not null,
  primary key (account, email, owner, owner_id)
);
create index email_keys_by_owner on email_keys (account, owner, owner_id);

-- Addresses that were forgotten: what comes in about them later is taken in without their keys.
create table forgotten_emails (
  account text not null references accounts,
  email bytea not null check (octet_length(email) = 32),
  key_id text not null,
  forgotten_at timestamptz not null,
  primary key (account, email)
);
